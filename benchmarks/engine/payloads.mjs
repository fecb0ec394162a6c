// Random files and stores that hold them, in memory-backed storage. Owns the work directory.
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Child } from '../lib/child.mjs';
import { PEER, PEER_DIST } from './peer-bundle.mjs';

const MIB = 2 ** 20;
export const PIECE_BYTES = 4 * MIB;
const TMPFS_MAGIC = 0x01021994;
/** Followed by the number of the process that owns the directory. */
const PREFIX = 'kraken-bench-';

export class Payloads {
  dir;
  /** tmpfs, or what lies under the system's temporary directory. */
  storage;
  #made = new Map();

  constructor() {
    const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    removeAbandoned(parent);
    this.dir = mkdtempSync(join(parent, `${PREFIX}${process.pid}-`));
    // Gigabytes of memory until the machine starts anew, if they stayed. `exit` follows an interruption, too.
    process.once('exit', () => this.close());
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGHUP', 129],
    ])
      process.once(signal, () => process.exit(code));
    this.storage = statfsSync(this.dir).type === TMPFS_MAGIC ? 'tmpfs' : `page cache over ${parent}`;
  }

  /**
   * Take so much memory from the machine and leave it again, right before a run that writes as much. A virtual machine may
   * have handed free memory back to its host, and touching it again then costs more than everything that is measured.
   */
  async warm(mib) {
    const path = join(this.dir, 'warm');
    const file = await open(path, 'w');
    const zeros = Buffer.alloc(MIB);
    for (let n = 0; n < mib; n++) await file.write(zeros);
    await file.close();
    this.remove(path);
  }

  /** A fresh directory. */
  temporary() {
    return mkdtempSync(join(this.dir, 'run-'));
  }

  /** @returns {Promise<{ path: string, length: number, digest: string }>} a random file, made once per size */
  file(mib) {
    return this.#once(`file-${mib}`, async () => {
      const path = join(this.dir, `${mib}MiB.bin`);
      const file = await open(path, 'w');
      for (let n = 0; n < mib; n++) await file.write(randomBytes(MIB));
      await file.close();
      const hash = createHash('sha256');
      await pipeline(createReadStream(path, { highWaterMark: MIB }), hash);
      return { path, length: mib * MIB, digest: `sha256:${hash.digest('hex')}` };
    });
  }

  /** A store of ours that holds such a file with metainfo. */
  store(mib, { pieceLayer }) {
    return this.#once(`store-${mib}-${pieceLayer}`, async () => {
      const { path, digest } = await this.file(mib);
      const dir = join(this.dir, `store-${mib}-${pieceLayer}`);
      mkdirSync(dir);
      const child = peerProcess('importer', {
        role: 'import',
        dir,
        file: path,
        digest,
        pieceLength: PIECE_BYTES,
        pieceLayer,
      });
      await child.next('imported');
      await child.stop();
      return { dir, digest };
    });
  }

  /** A torrent file that describes such a file. */
  torrent(mib) {
    return this.#once(`torrent-${mib}`, async () => {
      const { path } = await this.file(mib);
      const torrent = `${path}.torrent`;
      const child = libtorrentProcess('maker', {
        role: 'maker',
        file: path,
        dir: this.dir,
        torrent,
        pieceLength: PIECE_BYTES,
      });
      await child.next('made');
      await child.exited;
      return torrent;
    });
  }

  remove(dir) {
    rmSync(dir, { recursive: true, force: true });
  }

  close() {
    this.remove(this.dir);
  }

  #once(key, make) {
    if (!this.#made.has(key)) this.#made.set(key, make());
    return this.#made.get(key);
  }
}

/** What a run left that was killed. */
function removeAbandoned(parent) {
  for (const name of readdirSync(parent)) {
    const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner !== undefined && !existsSync(`/proc/${owner}`))
      rmSync(join(parent, name), { recursive: true, force: true });
  }
}

export function peerProcess(name, options) {
  return new Child(name, process.execPath, [
    new URL('peer-process.cjs', import.meta.url).pathname,
    PEER_DIST,
    PEER,
    JSON.stringify(options),
  ]);
}

export function libtorrentProcess(name, options) {
  const script = new URL('libtorrent-peer.py', import.meta.url).pathname;
  return new Child(`libtorrent ${name}`, '/usr/bin/python3', [script, JSON.stringify(options)]);
}
