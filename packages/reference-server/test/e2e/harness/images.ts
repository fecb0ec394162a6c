/** Images for tests, made with umoci and a few lines of JSON; digests are read from the layout. */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { run } from './processes.js';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: object;
}

interface Index {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
}

const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';

/** An OCI layout with image `v1`: busybox and some random bytes. */
export async function makeLayout(directory: string, randomBytesCount = 8_000_000): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const layout = join(directory, 'layout');
  const bundle = join(directory, 'bundle');
  await run('umoci', ['init', '--layout', layout]);
  await run('umoci', ['new', '--image', `${layout}:v1`]);
  await run('umoci', ['unpack', '--image', `${layout}:v1`, bundle]);
  mkdirSync(join(bundle, 'rootfs', 'bin'), { recursive: true });
  copyFileSync((await run('which', ['busybox'])).trim(), join(bundle, 'rootfs', 'bin', 'busybox'));
  writeFileSync(join(bundle, 'rootfs', 'blob.bin'), randomBytes(randomBytesCount));
  await run('umoci', ['repack', '--image', `${layout}:v1`, bundle]);
  await run('umoci', ['config', '--image', `${layout}:v1`, '--config.cmd', '/bin/busybox']);
  rmSync(bundle, { recursive: true, force: true });
  return layout;
}

/** Add image `multi`: an index of `v1` for amd64 and a copy of it for arm64. Returns the digest of the index. */
export async function addIndex(layout: string): Promise<string> {
  await run('umoci', ['tag', '--image', `${layout}:v1`, 'arm']);
  await run('umoci', ['config', '--image', `${layout}:arm`, '--architecture', 'arm64', '--os', 'linux']);
  const index = readIndex(layout);
  const of = (tag: string, architecture: string): Descriptor => {
    const found = descriptorOf(index, tag);
    return {
      mediaType: found.mediaType,
      digest: found.digest,
      size: found.size,
      platform: { architecture, os: 'linux' },
    };
  };
  const multi = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests: [of('v1', 'amd64'), of('arm', 'arm64')] }),
  );
  const hex = createHash('sha256').update(multi).digest('hex');
  writeFileSync(join(layout, 'blobs', 'sha256', hex), multi);
  const added: Descriptor = {
    mediaType: INDEX_TYPE,
    digest: `sha256:${hex}`,
    size: multi.length,
    annotations: { 'org.opencontainers.image.ref.name': 'multi' },
  };
  writeFileSync(join(layout, 'index.json'), JSON.stringify({ ...index, manifests: [...index.manifests, added] }));
  return added.digest;
}

/** Digest of the manifest that a tag of a layout names. */
export function layoutDigest(layout: string, tag: string): string {
  return descriptorOf(readIndex(layout), tag).digest;
}

function readIndex(layout: string): Index {
  return JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as Index;
}

function descriptorOf(index: Index, tag: string): Descriptor {
  const found = index.manifests.find(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === tag);
  if (found === undefined) throw new Error(`the layout has no ${tag}`);
  return found;
}
