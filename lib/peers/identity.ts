// Who dials whom, as the TLS identity says it in the clear before anything is authenticated:
//
//   flowsieve/VERSION/LAYOUT/CLUSTER/FROM/TO/KEYID
import { malformed, NAME_PATTERN } from './bytes.js';
import { KEY_ID_BYTES } from './keys.js';

/** What a TLS identity says. */
export interface DialIdentity {
  readonly version: number;
  readonly layout: number;
  readonly cluster: string;
  readonly from: string;
  readonly to: string;
  /** In hexadecimal digits. */
  readonly keyId: string;
}

const IDENTITY_LENGTH_MAX = 240;
const NUMBER = /^(0|[1-9][0-9]{0,4})$/;
const KEY_ID = new RegExp(`^[0-9a-f]{${2 * KEY_ID_BYTES}}$`);

/** The TLS identity that says this. */
export function encodeIdentity(identity: DialIdentity): string {
  const { version, layout, cluster, from, to, keyId } = identity;
  return ['flowsieve', version, layout, cluster, from, to, keyId].join('/');
}

/**
 * What a TLS identity says.
 *
 * @throws FlowsieveError FLOWSIEVE_FORMAT
 */
export function decodeIdentity(text: string): DialIdentity {
  const parts = text.length > IDENTITY_LENGTH_MAX ? [] : text.split('/');
  const [product, version = '', layout = '', cluster = '', from = '', to = '', keyId = ''] = parts;
  const names = [cluster, from, to].every((name) => NAME_PATTERN.test(name));
  const numbers = NUMBER.test(version) && NUMBER.test(layout);
  if (parts.length !== 7 || product !== 'flowsieve' || !names || !numbers || !KEY_ID.test(keyId)) {
    throw malformed('flowsieve/…', 'a TLS identity', JSON.stringify(text.slice(0, 40)));
  }
  return { version: Number(version), layout: Number(layout), cluster, from, to, keyId };
}
