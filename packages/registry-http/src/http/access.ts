/**
 * Who may do what before any route is looked at: address allow-list and Kraken's client-certificate rule.
 * Never authenticates users. Source: spec index-proxy-registry-config.md §5.2, §5.3; tracker-agent-ring.md §9.5, §9.6.
 *
 * Differs from nginx in front of Go: allow-lists take IPv6, and the loopback exemption can be switched off.
 */
import { KrakenError } from '@kraken/core/errors';
import type { IncomingMessage } from 'node:http';
import { BlockList, isIPv4 } from 'node:net';
import { TLSSocket } from 'node:tls';

/** Decides about one request. */
export interface AccessPolicy {
  /** `undefined` admits; otherwise the status to answer and why. */
  check(req: IncomingMessage): AccessRefusal | undefined;
}

/** Why a request is not answered. */
export interface AccessRefusal {
  readonly status: 400 | 403;
  readonly reason: string;
}

/** Who may use a server. */
export interface AccessPolicyOptions {
  /** Addresses (`10.0.0.1`, `::1`) and subnets (`10.0.0.0/8`, `fd00::/8`). Absent: every address; empty: none. */
  readonly allowedCidrs?: readonly string[];
  /**
   * `kraken`: over TLS, methods other than GET and HEAD need a verified client certificate, else 403; a certificate that
   * does not verify is 400. `none`: never asked for. Default `kraken` (without effect on plain HTTP, as in Go).
   */
  readonly clientCertificates?: 'kraken' | 'none';
  /** Loopback clients need no certificate. Default true, as in Go. */
  readonly loopbackExempt?: boolean;
}

/** An address without the `::ffff:` of IPv4-mapped IPv6 and without a zone. */
function plainAddress(address: string): string {
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  return mapped?.[1] ?? bare;
}

/** Whether it can be an IPv6 address is seen by a colon: the pattern of `isIPv6` takes milliseconds of every start to compile. */
function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  return isIPv4(address) ? 'ipv4' : address.includes(':') ? 'ipv6' : undefined;
}

/**
 * A predicate over remote addresses.
 * @throws KrakenError `config-invalid` naming the entry that is no address or subnet
 */
export function addressList(entries: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    const invalid = (): KrakenError =>
      new KrakenError('config-invalid', `expected an IP address or CIDR, got ${JSON.stringify(entry)}`);
    const slash = entry.indexOf('/');
    const address = plainAddress(slash < 0 ? entry : entry.slice(0, slash));
    const family = familyOf(address);
    if (family === undefined) throw invalid();
    const prefixText = slash < 0 ? undefined : entry.slice(slash + 1);
    if (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)) throw invalid();
    try {
      if (prefixText === undefined) list.addAddress(address, family);
      else list.addSubnet(address, Number(prefixText), family);
    } catch {
      throw invalid();
    }
  }
  return (remote) => {
    const address = plainAddress(remote);
    const family = familyOf(address);
    // What is no address after all is on no list.
    return family !== undefined && list.check(address, family);
  };
}

const isLoopback = addressList(['127.0.0.0/8', '::1']);

/** @throws KrakenError `config-invalid` for an allow-list entry that cannot be read */
export function createAccessPolicy(options: AccessPolicyOptions = {}): AccessPolicy {
  const { clientCertificates = 'kraken', loopbackExempt = true, allowedCidrs } = options;
  const isAllowed = allowedCidrs === undefined ? undefined : addressList(allowedCidrs);
  return {
    check(req) {
      const remote = req.socket.remoteAddress ?? '';
      if (isAllowed !== undefined && !isAllowed(remote)) {
        return { status: 403, reason: `address ${remote} is not in the allow-list` };
      }
      if (clientCertificates === 'none' || !(req.socket instanceof TLSSocket)) return undefined;
      if (req.socket.authorized) return undefined;
      const presented = Object.keys(req.socket.getPeerCertificate()).length > 0;
      if (presented)
        return { status: 400, reason: `client certificate does not verify: ${String(req.socket.authorizationError)}` };
      if (req.method === 'GET' || req.method === 'HEAD') return undefined;
      if (loopbackExempt && isLoopback(remote)) return undefined;
      return { status: 403, reason: `${String(req.method)} needs a client certificate` };
    },
  };
}
