/**
 * A sample OCI image made of random content: valid tar layers, so that container engines can unpack them.
 * Bytes are produced chunk by chunk; nothing larger than a chunk is held.
 */
import { createHash, randomBytes } from 'node:crypto';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A layer that can be read once. `size` is known before, the digest after reading. */
export interface SampleLayer {
  readonly size: number;
  read(): AsyncGenerator<Uint8Array>;
}

const CHUNK_BYTES = 1 << 20;
const TAR_BLOCK = 512;
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/** A tar with one file of `contentBytes` (a multiple of 512) random bytes. */
export function randomLayer(fileName: string, contentBytes: number): SampleLayer {
  return {
    size: TAR_BLOCK + contentBytes + 2 * TAR_BLOCK,
    async *read() {
      yield tarHeader(fileName, contentBytes);
      for (let left = contentBytes; left > 0; left -= CHUNK_BYTES) {
        yield await Promise.resolve(randomBytes(Math.min(left, CHUNK_BYTES)));
      }
      yield new Uint8Array(2 * TAR_BLOCK);
    },
  };
}

/** Config and manifest of an image with these layers (uncompressed, so diff ids are digests). */
export function assembleImage(layers: readonly { digest: string; size: number }[]): {
  config: Buffer;
  manifest: Buffer;
} {
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
      history: layers.map(() => ({ created_by: 'kraken-reference-server demo' })),
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, digest: digestOf(config), size: config.length },
      layers: layers.map(({ digest, size }): Descriptor => ({ mediaType: LAYER_TYPE, digest, size })),
    }),
  );
  return { config, manifest };
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A ustar header block (POSIX.1-1988). */
function tarHeader(name: string, size: number): Uint8Array {
  const block = Buffer.alloc(TAR_BLOCK);
  block.write(name, 0, 100, 'latin1');
  block.write('0000644\0', 100, 'latin1');
  block.write('0000000\0', 108, 'latin1');
  block.write('0000000\0', 116, 'latin1');
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.write('00000000000\0', 136, 'latin1');
  block.write('        ', 148, 'latin1');
  block.write('0', 156, 'latin1');
  block.write('ustar\0' + '00', 257, 'latin1');
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
