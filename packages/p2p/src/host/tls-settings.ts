/**
 * Settings of TLS between peers → what Node needs. Owns the choices that are not up to the operator: TLS 1.3 alone,
 * certificates on both sides, no resumed sessions. Never reads files. Source: decision 0015.
 */
import { constants } from 'node:crypto';
import { checkServerIdentity, createSecureContext, type PeerCertificate, type SecureContextOptions } from 'node:tls';
import { KrakenError } from '@kraken/core/errors';

/** `off`: plain TCP as in Kraken. `preferred`: TLS with peers that speak it. `required`: nothing but TLS. */
export type PeerTlsMode = 'required' | 'preferred' | 'off';

/** PEM texts. */
export interface PeerTlsMaterial {
  /** Certificate of this node, followed by intermediate ones. Must be good for servers and clients. */
  readonly cert: string | Buffer;
  /** Private key of `cert`. */
  readonly key: string | Buffer;
  /** Of `key`, when it is encrypted. */
  readonly passphrase?: string;
  /** Authorities of peers: whoever has a certificate of one of them is a peer. The authorities of the system do not count. */
  readonly ca: readonly (string | Buffer)[];
  /** Name that the certificate of every peer must carry; absent or empty = any. Addresses are not compared. */
  readonly name?: string;
}

export interface PeerTlsOptions extends PeerTlsMaterial {
  /** What is done about peers that do not speak TLS. */
  readonly mode: Exclude<PeerTlsMode, 'off'>;
}

/**
 * @returns options for `tls.createServer`, `setSecureContext` and `createSecureContext`
 * @throws KrakenError `config-invalid` when certificate, key and authorities cannot be used together
 */
export function contextOptions(material: PeerTlsMaterial): SecureContextOptions {
  if (material.ca.length === 0) {
    // Without own authorities Node would trust any certificate that a public authority signed.
    throw new KrakenError('config-invalid', 'TLS between peers needs at least one certificate authority');
  }
  const options: SecureContextOptions = {
    cert: material.cert,
    key: material.key,
    ca: [...material.ca],
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    // A resumed session counts as verified without a certificate; without tickets there is none.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(material.passphrase === undefined ? {} : { passphrase: material.passphrase }),
  };
  try {
    createSecureContext(options);
  } catch (cause) {
    const says = cause instanceof Error ? cause.message : String(cause);
    throw new KrakenError('config-invalid', `TLS between peers: certificate or key cannot be used: ${says}`, { cause });
  }
  return options;
}

/** Why `certificate`, whose chain was verified, is not that of a peer; `undefined` when it is. */
export function nameProblem(name: string | undefined, certificate: PeerCertificate): Error | undefined {
  return name === undefined || name === '' ? undefined : checkServerIdentity(name, certificate);
}
