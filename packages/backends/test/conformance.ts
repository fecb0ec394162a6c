/** The contract of a storage backend as one suite; every kind runs it. */
import { createHash, randomBytes } from 'node:crypto';
import type { TestFn } from 'ava';
import { isKrakenError } from '@kraken/core/errors';
import type { StorageBackend } from '@kraken/core/ports';

export interface Subject {
  readonly backend: StorageBackend;
  close(): Promise<void>;
}

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const sourceOf = (bytes: Uint8Array, chunk = 70_000): { length: number; open(): AsyncIterable<Uint8Array> } => ({
  length: bytes.length,
  async *open() {
    for (let at = 0; at < bytes.length; at += chunk) yield await Promise.resolve(bytes.subarray(at, at + chunk));
  },
});
async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

export interface ConformanceOptions {
  readonly sizes?: readonly number[];
  /** Why the counterpart in this run cannot page; the test is then reported as skipped. */
  readonly cannotPage?: string;
}

/** `open` makes an empty backend whose pather is `namePath`. */
export function conformance(
  test: TestFn,
  kind: string,
  open: (namePath: string) => Promise<Subject>,
  options: ConformanceOptions = {},
): void {
  const sizes = options.sizes ?? [0, 1, 200_000, 3_000_000];
  const withBackend = async (namePath: string, use: (backend: StorageBackend) => Promise<void>): Promise<void> => {
    const subject = await open(namePath);
    try {
      await use(subject.backend);
    } finally {
      await subject.close();
    }
  };

  test.serial(`${kind}: stores and returns blobs of every size`, async (t) => {
    await withBackend('sharded_docker_blob', async (backend) => {
      for (const size of sizes) {
        const bytes = randomBytes(size);
        const name = sha(bytes);
        await backend.upload('library/app', name, sourceOf(bytes));
        t.is((await backend.stat('library/app', name)).length, size);
        const { length, stream } = await backend.download('library/app', name);
        if (length !== undefined) t.is(length, size);
        t.is(sha(await collect(stream)), name, `${size} bytes`);
      }
    });
  });

  test.serial(`${kind}: an absent name is blob-unknown for stat and download`, async (t) => {
    await withBackend('sharded_docker_blob', async (backend) => {
      const name = sha(randomBytes(8));
      t.true(isKrakenError(await t.throwsAsync(backend.stat('n', name)), 'blob-unknown'));
      t.true(isKrakenError(await t.throwsAsync(backend.download('n', name)), 'blob-unknown'));
    });
  });

  test.serial(`${kind}: an upload replaces the object`, async (t) => {
    await withBackend('docker_tag', async (backend) => {
      for (const text of ['sha256:old', 'sha256:newer']) {
        await backend.upload('n', 'library/app:v1', sourceOf(Buffer.from(text)));
        t.is((await collect((await backend.download('n', 'library/app:v1')).stream)).toString(), text);
      }
    });
  });

  test.serial(`${kind}: a source that fails leaves no object behind`, async (t) => {
    await withBackend('sharded_docker_blob', async (backend) => {
      const name = sha(randomBytes(8));
      const broken = {
        length: 300_000,
        async *open(): AsyncGenerator<Uint8Array> {
          yield await Promise.resolve(randomBytes(100_000));
          throw new Error('source broke');
        },
      };
      await t.throwsAsync(backend.upload('n', name, broken));
      t.true(isKrakenError(await t.throwsAsync(backend.stat('n', name)), 'blob-unknown'));
    });
  });

  test.serial(`${kind}: lists tags of one repository, of all, and of none`, async (t) => {
    await withBackend('docker_tag', async (backend) => {
      for (const name of ['team/app:v1', 'team/app:v2', 'team/apple:v9', 'other:latest']) {
        await backend.upload('n', name, sourceOf(Buffer.from('x')));
      }
      const names = async (prefix: string): Promise<string[]> => [...(await backend.list(prefix)).names].sort();
      t.deepEqual(await names('team/app/_manifests/tags'), ['team/app:v1', 'team/app:v2']);
      t.deepEqual(await names(''), ['other:latest', 'team/app:v1', 'team/app:v2', 'team/apple:v9']);
      t.deepEqual(await names('nobody/_manifests/tags'), []);
    });
  });

  const pagingTest = options.cannotPage === undefined ? test.serial : test.serial.skip;
  pagingTest(
    `${kind}: pages without loss or repetition, or says that it cannot${options.cannotPage === undefined ? '' : ` (skipped: ${options.cannotPage})`}`,
    async (t) => {
      await withBackend('docker_tag', async (backend) => {
        const all = Array.from({ length: 7 }, (_, i) => `repo${i}:v`);
        for (const name of all) await backend.upload('n', name, sourceOf(Buffer.from('x')));
        if (!backend.can.paginate) {
          t.true(isKrakenError(await t.throwsAsync(backend.list('', { limit: 2 })), 'unsupported'));
          return;
        }
        const seen: string[] = [];
        let continuation: string | undefined;
        for (let pages = 0; pages < 20; pages++) {
          const page = await backend.list('', { limit: 3, ...(continuation === undefined ? {} : { continuation }) });
          t.true(page.names.length <= 3);
          seen.push(...page.names);
          continuation = page.continuation;
          if (continuation === undefined) break;
        }
        t.deepEqual(seen.sort(), all);
      });
    },
  );

  test.serial(`${kind}: names that would leave the root are refused`, async (t) => {
    await withBackend('identity', async (backend) => {
      for (const name of ['../escape', 'a/../../b', '..', '']) {
        t.true(
          isKrakenError(await t.throwsAsync(backend.upload('n', name, sourceOf(Buffer.from('x')))), 'request-invalid'),
          name,
        );
      }
    });
  });
}
