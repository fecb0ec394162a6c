// Programs that the measurements compare with. Owns the list of what is needed and how to get it.
import { spawnSync } from 'node:child_process';

const PREREQUISITES = {
  libtorrent: { probe: ['/usr/bin/python3', '-c', 'import libtorrent'], package: 'python3-libtorrent' },
  nginx: { probe: ['/usr/sbin/nginx', '-v'], package: 'nginx-light' },
  curl: { probe: ['curl', '--version'], package: 'curl' },
  openssl: { probe: ['openssl', 'version'], package: 'openssl' },
  wrk: { probe: ['wrk', '-v'], package: 'wrk' },
};

/** @returns Debian packages that are missing for `names` */
export function missingPackages(names) {
  return names
    .filter((name) => {
      const [command, ...args] = PREREQUISITES[name].probe;
      const { error, status } = spawnSync(command, args, { stdio: 'ignore' });
      // wrk has no way to ask for its version without an error.
      return error !== undefined || (status !== 0 && name !== 'wrk');
    })
    .map((name) => PREREQUISITES[name].package);
}
