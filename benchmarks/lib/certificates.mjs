// A certificate authority and one certificate for measurements with transport security. Made by openssl.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DAYS = '2';
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** @returns {{ ca: string, cert: string, key: string }} paths of PEM files in `dir` */
export function makeCertificates(dir) {
  const at = (name) => join(dir, name);
  const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  openssl(
    'req',
    '-x509',
    ...CURVE,
    '-days',
    DAYS,
    '-subj',
    '/CN=bench authority',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  );
  openssl('req', ...CURVE, '-subj', '/CN=bench peer', '-keyout', at('peer.key'), '-out', at('peer.csr'));
  writeFileSync(at('peer.ext'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n');
  openssl(
    'x509',
    '-req',
    '-in',
    at('peer.csr'),
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-days',
    DAYS,
    '-extfile',
    at('peer.ext'),
    '-out',
    at('peer.pem'),
  );
  return { ca: at('ca.pem'), cert: at('peer.pem'), key: at('peer.key') };
}
