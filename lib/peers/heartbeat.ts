// A heartbeat as bytes, before it is sealed:
//
//   flags (1)  incarnation (8)  sent (8)  term (8)  epoch (8)  name  coordinator  echoes (2)
//   each echo: flags (1)  incarnation (8)  name  [echo (8)]  [grant (8)]
//
// A name is a byte of its length and its characters; length 0 is null.
import type { Echo, Heartbeat } from '../protocol/index.js';
import { malformed, Reader, Writer } from './bytes.js';

const ELECTED = 1;
const MEMBER = 2;
const URGENT = 4;
const HEARTBEAT_FLAGS = ELECTED | MEMBER | URGENT;

const HAS_ECHO = 1;
const HAS_GRANT = 2;
const DEAD = 4;
const ECHO_FLAGS = HAS_ECHO | HAS_GRANT | DEAD;

function writeEcho(writer: Writer, echo: Echo): void {
  const flags =
    (echo.echo === null ? 0 : HAS_ECHO) |
    (echo.grant === null ? 0 : HAS_GRANT) |
    (echo.dead ? DEAD : 0);
  writer.u8(flags);
  writer.count(echo.incarnation, 'the incarnation of an echo');
  writer.name(echo.name, 'the name of an echo');
  if (echo.echo !== null) writer.clock(echo.echo, 'an echo');
  if (echo.grant !== null) writer.clock(echo.grant, 'a grant');
}

/** Writes everything up to the echoes. */
function writeHead(writer: Writer, heartbeat: Heartbeat): void {
  const flags =
    (heartbeat.elected ? ELECTED : 0) |
    (heartbeat.member ? MEMBER : 0) |
    (heartbeat.urgent ? URGENT : 0);
  writer.u8(flags);
  writer.count(heartbeat.incarnation, 'an incarnation');
  writer.clock(heartbeat.sent, 'a clock');
  writer.count(heartbeat.term, 'a term');
  writer.count(heartbeat.epoch, 'an epoch');
  writer.name(heartbeat.name, 'a name');
  writer.name(heartbeat.coordinator, 'a coordinator');
}

/** The bytes of a heartbeat with these echoes instead of its own. */
export function encodeHeartbeat(heartbeat: Heartbeat, echoes: readonly Echo[]): Buffer {
  const writer = new Writer();
  writeHead(writer, heartbeat);
  writer.u16(echoes.length);
  for (const echo of echoes) writeEcho(writer, echo);
  return writer.take();
}

/** The bytes that `echo` takes in a heartbeat. */
function echoBytes(echo: Echo): number {
  return 10 + echo.name.length + (echo.echo === null ? 0 : 8) + (echo.grant === null ? 0 : 8);
}

/**
 * The bytes of a heartbeat in as many pieces as it takes for none to be longer than `bytesMax`;
 * each has a part of the echoes, and all else is the same.
 */
export function encodeHeartbeats(
  heartbeat: Heartbeat,
  echoes: readonly Echo[],
  bytesMax: number,
): Buffer[] {
  const head = new Writer();
  writeHead(head, heartbeat);
  const room = bytesMax - head.length - 2;
  const pieces: Echo[][] = [[]];
  let used = 0;
  for (const echo of echoes) {
    if (used + echoBytes(echo) > room && pieces.at(-1)?.length !== 0) {
      pieces.push([]);
      used = 0;
    }
    pieces.at(-1)?.push(echo);
    used += echoBytes(echo);
  }
  return pieces.map((piece) => encodeHeartbeat(heartbeat, piece));
}

function readFlags(reader: Reader, known: number, subject: string): number {
  const flags = reader.u8(subject);
  if ((flags & ~known) !== 0) throw malformed('known flags', subject, `${flags}`);
  return flags;
}

function readEcho(reader: Reader): Echo {
  const flags = readFlags(reader, ECHO_FLAGS, 'an echo');
  const incarnation = reader.count('the incarnation of an echo');
  const name = reader.name('the name of an echo');
  const echo = (flags & HAS_ECHO) === 0 ? null : reader.clock('an echo');
  const grant = (flags & HAS_GRANT) === 0 ? null : reader.clock('a grant');
  return { name, incarnation, echo, grant, dead: (flags & DEAD) !== 0 };
}

/**
 * The heartbeat that `bytes` are.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT
 */
export function decodeHeartbeat(bytes: Buffer): Heartbeat {
  const reader = new Reader(bytes);
  const flags = readFlags(reader, HEARTBEAT_FLAGS, 'a heartbeat');
  const incarnation = reader.count('an incarnation');
  const sent = reader.clock('a clock');
  const term = reader.count('a term');
  const epoch = reader.count('an epoch');
  const name = reader.name('a name');
  const coordinator = reader.nameOrNull('a coordinator');
  const echoes: Echo[] = [];
  for (let left = reader.u16('the number of echoes'); left > 0; left -= 1) {
    echoes.push(readEcho(reader));
  }
  reader.end('a heartbeat');
  return {
    name,
    incarnation,
    sent,
    term,
    coordinator,
    elected: (flags & ELECTED) !== 0,
    epoch,
    member: (flags & MEMBER) !== 0,
    urgent: (flags & URGENT) !== 0,
    echoes,
  };
}
