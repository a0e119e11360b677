import { readFileSync } from 'node:fs';
import type { Configuration } from '../config/index.js';
import { detourMarks, type Host } from '../host/index.js';
import type { Logger } from '../log/index.js';
import {
  addon,
  addressBytes,
  callNative,
  type NativeFtpDetour,
  readFlow,
} from '../native/index.js';
import type { ExpectationRequest, FtpStatus } from './types.js';

// The FTP helper: what control connections announce is expected, and goes on when all nodes know.

/** Seconds in which an announced data connection is opened, or is not any more. */
const LIFETIME = 60;
/** The kernel's bound of an interface's name. */
const DEVICE_MAX = 15;

type Expect = (request: ExpectationRequest) => Promise<unknown>;

/** What a data connection's first packet will look like. */
function requestOf(data: Buffer): ExpectationRequest {
  const { source, destination } = readFlow(data);
  const end = ({ address, port }: { address: string; port: number }) =>
    port === 0 ? { address } : { address, port };
  return {
    protocol: 'tcp',
    client: end(source),
    server: end(destination),
    lifetime: LIFETIME,
    once: true,
  };
}

export class FtpHelper {
  private failed = 0;

  private constructor(private readonly detour: NativeFtpDetour) {}

  /**
   * Begins to read control connections, when the delivery device is there.
   *
   * @throws FlowsieveError FLOWSIEVE_MISSING, FLOWSIEVE_PRIVILEGE, FLOWSIEVE_SYSTEM
   */
  static async start(
    config: Configuration,
    captured: string,
    host: Host,
    logger: Logger,
    expect: Expect,
  ): Promise<FtpHelper> {
    const { ports } = config.helpers.ftp;
    const device = `${config.deliver.device.slice(0, DEVICE_MAX - 1)}f`;
    const announced = { take: (_token: number, _data: Buffer): void => {} };
    const detour = callNative(
      () =>
        new addon.FtpDetour({
          device,
          tap: config.deliver.device,
          mark: detourMarks(config.cluster).passed,
          ports: [...ports],
          addresses: Buffer.concat(config.addresses.map((address) => addressBytes(address))),
          onData: (token, data) => announced.take(token, data),
        }),
    );
    const helper = new FtpHelper(detour);
    announced.take = (token, data) => {
      expect(requestOf(data))
        .catch((error: unknown) => {
          helper.failed += 1;
          logger.warn({ err: error }, 'a data connection is not expected');
        })
        .finally(() => detour.release(token));
    };
    try {
      const mtu = Number(readFileSync(`/sys/class/net/${captured}/mtu`, 'utf8'));
      await host.addDetour({ device, ports, mtu });
    } catch (error) {
      detour.close();
      throw error;
    }
    return helper;
  }

  status(): FtpStatus {
    return { ...this.detour.counts(), failed: this.failed };
  }

  /** Lets everything go that is kept. To be called when nothing takes the detour any more. */
  close(): void {
    this.detour.close();
  }
}
