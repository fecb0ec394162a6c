/**
 * The few registry calls that the demonstration makes, as any container client would make them.
 * Pushes stream; pulls hash what comes and report progress.
 */
import { createHash } from 'node:crypto';
import { request } from 'undici';
import { digestOf, MANIFEST_TYPE, type Descriptor, type SampleLayer } from './sample-image.js';

export class RegistryClient {
  readonly #base: string;

  /** @param address `host:port` of a proxy or agent registry */
  constructor(address: string) {
    this.#base = `http://${address}`;
  }

  /** @returns the digest of what was pushed */
  async pushBlob(repository: string, layer: SampleLayer, onBytes: (count: number) => void): Promise<string> {
    const start = await request(`${this.#base}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    await expectStatus(start, 202, 'start upload');
    const hash = createHash('sha256');
    const body = (async function* () {
      for await (const chunk of layer.read()) {
        hash.update(chunk);
        onBytes(chunk.length);
        yield chunk;
      }
    })();
    const patch = await request(this.#location(start.headers['location']), {
      method: 'PATCH',
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(layer.size) },
      body: body as never,
      headersTimeout: 120_000,
    });
    await expectStatus(patch, 202, 'upload');
    const digest = `sha256:${hash.digest('hex')}`;
    const commitUrl = new URL(this.#location(patch.headers['location']));
    commitUrl.searchParams.set('digest', digest);
    const commit = await request(commitUrl, { method: 'PUT', headersTimeout: 120_000 });
    await expectStatus(commit, 201, 'commit upload');
    return digest;
  }

  async pushManifest(repository: string, tag: string, manifest: Buffer): Promise<void> {
    const put = await request(`${this.#base}/v2/${repository}/manifests/${tag}`, {
      method: 'PUT',
      headers: { 'content-type': MANIFEST_TYPE },
      body: manifest,
      headersTimeout: 120_000,
    });
    await expectStatus(put, 201, 'push manifest');
  }

  async pullManifest(repository: string, tag: string): Promise<{ bytes: Buffer; digest: string }> {
    const get = await request(`${this.#base}/v2/${repository}/manifests/${tag}`, {
      headers: { accept: MANIFEST_TYPE },
    });
    if (get.statusCode !== 200) await expectStatus(get, 200, 'pull manifest');
    const bytes = Buffer.from(await get.body.arrayBuffer());
    return { bytes, digest: digestOf(bytes) };
  }

  /** @returns the digest and length of the bytes that came */
  async pullBlob(
    repository: string,
    blob: Descriptor,
    onBytes: (count: number) => void,
  ): Promise<{ digest: string; length: number }> {
    const get = await request(`${this.#base}/v2/${repository}/blobs/${blob.digest}`, {
      headersTimeout: 120_000,
      bodyTimeout: 120_000,
    });
    if (get.statusCode !== 200) await expectStatus(get, 200, 'pull blob');
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of get.body as AsyncIterable<Buffer>) {
      hash.update(chunk);
      length += chunk.length;
      onBytes(chunk.length);
    }
    return { digest: `sha256:${hash.digest('hex')}`, length };
  }

  #location(header: string | string[] | undefined): string {
    if (typeof header !== 'string') throw new Error('the registry answered without a Location header');
    return new URL(header, this.#base).href;
  }
}

async function expectStatus(
  response: { statusCode: number; body: { text(): Promise<string> } },
  status: number,
  what: string,
): Promise<void> {
  const text = await response.body.text();
  if (response.statusCode !== status)
    throw new Error(`${what}: the registry answered ${response.statusCode}: ${text.slice(0, 300)}`);
}
