import { isKrakenError, KrakenError } from '@kraken/core/errors';
import {
  addressList,
  bodyBytes,
  createHttpClient,
  createRouter,
  listenHttp,
  readBody,
  sendBytes,
  sendText,
  splitTarget,
  upstreamFailure,
  type ListeningServer,
  type Route,
  type RouterOptions,
} from '@kraken/registry-http';
import test, { type ExecutionContext } from 'ava';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { rawExchange, rawRequest } from './support/raw-http.js';

async function serve(t: ExecutionContext, routes: readonly Route[], options?: RouterOptions): Promise<ListeningServer> {
  const server = await listenHttp({ handler: createRouter(routes, options), host: '127.0.0.1', port: 0 });
  t.teardown(() => server.close());
  return server;
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'no error';
  } catch (error) {
    return isKrakenError(error) ? error.code : `not coded: ${String(error)}`;
  }
};

/** Resolves when `condition` holds; the test times out otherwise. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

test('routes, and what Go says to paths and methods that are none', async (t) => {
  const seen: unknown[] = [];
  const { port } = await serve(t, [
    { method: 'GET', path: '/health', handler: (context) => sendText(context, 200, 'OK\n') },
    {
      method: 'PUT',
      path: '/tags/{tag}/digest/{digest}',
      handler: (context) => {
        seen.push([context.params, context.query.get('replicate'), context.rawPath]);
        sendText(context, 200, '');
      },
    },
    { method: 'GET', path: '/tags/{tag}', handler: (context) => sendText(context, 200, context.params['tag'] ?? '') },
  ]);
  const health = await rawRequest(port, 'GET', '/health');
  t.is(health.status, 200);
  t.is(health.body, 'OK\n');
  t.is(health.headers['content-type'], 'text/plain; charset=utf-8');

  t.is((await rawRequest(port, 'PUT', '/tags/a%2Fb:c/digest/d?replicate=true')).status, 200);
  t.deepEqual(seen, [[{ tag: 'a/b:c', digest: 'd' }, 'true', '/tags/a%2Fb:c/digest/d']]);
  t.is((await rawRequest(port, 'GET', 'http://host:1/tags/x')).body, 'x', 'absolute form');

  const missing = await rawRequest(port, 'GET', '/nope');
  t.is(missing.status, 404);
  t.is(missing.body, '404 page not found\n');
  t.is(missing.headers['x-content-type-options'], 'nosniff');

  const wrong = await rawRequest(port, 'POST', '/health');
  t.deepEqual([wrong.status, wrong.body, wrong.headers['allow']], [405, '', 'GET']);
  t.is((await rawRequest(port, 'HEAD', '/health')).status, 405, 'GET routes do not answer HEAD');
  const empty = await rawRequest(port, 'PUT', '/tags//digest/d');
  t.deepEqual([empty.status, empty.body], [400, 'param tag is required']);
  t.is((await rawRequest(port, 'GET', '/tags/a%zz')).status, 400);
});

test('a wrong method is 404 where the role says so', async (t) => {
  const { port } = await serve(
    t,
    [{ method: 'GET', path: '/health', handler: (context) => sendText(context, 200, 'OK') }],
    { wrongMethod: 'not-found' },
  );
  const answer = await rawRequest(port, 'POST', '/health');
  t.deepEqual([answer.status, answer.body], [404, '404 page not found\n']);
});

test('what handlers throw becomes a status before the head, a broken connection after it', async (t) => {
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(Buffer.from('01234'));
    throw new KrakenError('storage-unavailable', 'gone');
  };
  const fails = (path: string, run: Route['handler']): Route => ({ method: 'GET', path, handler: run });
  const { port } = await serve(
    t,
    [
      fails('/coded', () => {
        throw new KrakenError('storage-unavailable', 'backend is down');
      }),
      fails('/bug', () => Promise.reject(new TypeError('oops'))),
      fails('/stream', (context) => sendBytes(context, broken(), { length: 10 })),
      fails('/short', (context) => sendBytes(context, broken(), { length: 3 })),
      fails('/own', () => Promise.reject(new KrakenError('tag-unknown'))),
    ],
    {
      onError: (context, error) =>
        sendText(context, error.httpStatus, error.code === 'tag-unknown' ? '' : error.message),
    },
  );
  const coded = await rawRequest(port, 'GET', '/coded');
  t.deepEqual([coded.status, coded.body], [503, 'backend is down']);
  t.is((await rawRequest(port, 'GET', '/bug')).status, 500);
  t.deepEqual((await rawRequest(port, 'GET', '/own')).body, '');
  for (const path of ['/stream', '/short']) {
    const answer = await rawRequest(port, 'GET', path);
    t.is(answer.status, 200);
    t.false(answer.body.includes('gone'), 'no error text in the body');
    t.is(answer.truncated, true, path);
  }
});

test('what only this node can mend is a warning with the reason; refusals are not', async (t) => {
  const logged: unknown[] = [];
  const note = (level: string) => (fields: object, says: string) => void logged.push({ level, says, ...fields });
  const fail = (path: string, error: Error): Route => ({ method: 'GET', path, handler: () => Promise.reject(error) });
  const { port } = await serve(
    t,
    [
      fail('/disk', new KrakenError('io-error', 'open data: EACCES')),
      fail('/full', new KrakenError('disk-full', 'ENOSPC')),
      fail('/busy', new KrakenError('queue-full', 'no room')),
      fail('/none', new KrakenError('blob-unknown')),
      fail('/bug', new Error('boom')),
    ],
    { logger: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') } },
  );
  for (const path of ['/disk', '/full', '/busy', '/none']) await rawRequest(port, 'GET', path);
  const line = (path: string, level: string, says: string, code: string, status: number, reason: string): unknown => ({
    ...{ level, says, code, status, reason, path },
    method: 'GET',
  });
  t.deepEqual(logged, [
    line('/disk', 'warn', 'request failed', 'io-error', 500, 'open data: EACCES'),
    line('/full', 'warn', 'request failed', 'disk-full', 507, 'ENOSPC'),
    line('/busy', 'info', 'request refused', 'queue-full', 503, 'no room'),
  ]);
  logged.length = 0;
  await rawRequest(port, 'GET', '/bug');
  t.deepEqual(
    logged.map((entry) => (entry as { level: string }).level),
    ['error', 'info'],
  );
});

test('a stream waits for its client and stops with it', async (t) => {
  const chunk = Buffer.alloc(65_536, 7);
  let asked = 0;
  let ended = false;
  let aborted: unknown;
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        asked += 1;
        yield await Promise.resolve(chunk);
      }
    } finally {
      ended = true;
    }
  };
  const { port } = await serve(t, [
    {
      method: 'GET',
      path: '/x',
      handler: async (context) => {
        context.signal.addEventListener('abort', () => {
          aborted = context.signal.reason;
        });
        await sendBytes(context, endless(), { length: 2 ** 40 });
      },
    },
  ]);
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET /x HTTP/1.1\r\nhost: a\r\n\r\n');
  await once(socket, 'readable');
  let before = -1;
  while (asked !== before) {
    before = asked;
    await sleep(100);
  }
  t.true(asked < 2_000, `a client that does not read holds the source back (${asked} chunks asked)`);
  socket.destroy();
  await until(() => ended && aborted !== undefined);
  t.true(isKrakenError(aborted, 'cancelled'));
});

test('a source that waits is given up with its client', async (t) => {
  let returned = false;
  const stuck: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => undefined),
      return: () => {
        returned = true;
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
  const { port } = await serve(t, [
    { method: 'GET', path: '/x', handler: (context) => sendBytes(context, stuck, { length: 5 }) },
  ]);
  const socket = connect(port, '127.0.0.1');
  socket.write('GET /x HTTP/1.1\r\nhost: a\r\n\r\n');
  const [head] = (await once(socket, 'data')) as [Buffer];
  t.true(head.toString().startsWith('HTTP/1.1 200'), 'the head is out before the first byte is there');
  socket.destroy();
  await until(() => returned);
  t.pass();
});

test('bodies: limits before and during, chunked and not', async (t) => {
  const { port } = await serve(t, [
    {
      method: 'POST',
      path: '/small',
      handler: async (context) => sendText(context, 200, String((await readBody(context.req, 10)).length)),
    },
  ]);
  t.is((await rawRequest(port, 'POST', '/small', {}, '0123456789')).body, '10');
  t.is((await rawRequest(port, 'POST', '/small', {}, '0123456789a')).status, 413);
  t.is((await rawRequest(port, 'POST', '/small', { 'content-length': '0' })).body, '0');
  const send = (body: string): Promise<string> =>
    rawExchange(
      port,
      `POST /small HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n${body}`,
    );
  t.regex(await send('5\r\n01234\r\n0\r\n\r\n'), /\r\n\r\n5$/);
  t.regex(await send('b\r\n0123456789a\r\n0\r\n\r\n'), /^HTTP\/1.1 413 /);

  // A refused body does not poison the connection for the next request.
  const two = await rawExchange(
    port,
    `POST /small HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\n0123456789aPOST /small HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab`,
  );
  t.is((two.match(/HTTP\/1.1 /g) ?? []).length, 2);
  t.true(two.endsWith('\r\n\r\n2'));
});

test('an upload that breaks off or stalls is an error, never a short body', async (t) => {
  const results: string[] = [];
  const read =
    (idleMs?: number): Route['handler'] =>
    async (context) => {
      let size = 0;
      results.push(
        await codeOf(
          (async () => {
            for await (const chunk of bodyBytes(context.req, idleMs)) size += chunk.byteLength;
          })(),
        ),
      );
      sendText(context, 200, String(size));
    };
  const { port } = await serve(t, [
    { method: 'PUT', path: '/a', handler: read() },
    { method: 'PUT', path: '/b', handler: read(50) },
  ]);
  t.is((await rawRequest(port, 'PUT', '/a', {}, 'x'.repeat(100_000))).body, '100000');
  const socket = connect(port, '127.0.0.1');
  socket.write('PUT /a HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n012', () => socket.destroy());
  await until(() => results.length === 2);
  await rawExchange(port, 'PUT /b HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n012');
  t.deepEqual(results, ['no error', 'cancelled', 'cancelled']);
});

test('a consumer that stops early can still answer', async (t) => {
  const { port } = await serve(t, [
    {
      method: 'PUT',
      path: '/a',
      handler: async (context) => {
        for await (const chunk of bodyBytes(context.req)) {
          if (chunk.byteLength > 0) break;
        }
        sendText(context, 416, 'enough');
      },
    },
  ]);
  const answer = await rawRequest(port, 'PUT', '/a', {}, 'x'.repeat(300_000));
  t.deepEqual([answer.status, answer.body], [416, 'enough']);
});

test('targets', (t) => {
  t.deepEqual(splitTarget('/a%2Fb?x=1?y'), { rawPath: '/a%2Fb', query: 'x=1?y' });
  t.deepEqual(splitTarget('http://h:1/a'), { rawPath: '/a', query: '' });
  t.deepEqual(splitTarget('http://h:1'), { rawPath: '/', query: '' });
  t.deepEqual(splitTarget('*'), { rawPath: '/', query: '' });
});

test('address lists', async (t) => {
  const list = addressList(['10.0.0.0/8', '172.17.0.1', 'fd00::/8', '::1']);
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '172.17.0.1', 'fd12::1', '::1']) t.true(list(address), address);
  for (const address of ['11.0.0.1', '172.17.0.2', 'fe80::1%eth0', '', 'x', 'x:y', '::ffff:11.0.0.1'])
    t.false(list(address), address);
  for (const bad of ['x', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', 'fd00::/129', 'x:y', 'x:y/8', '']) {
    t.is(await codeOf(Promise.resolve().then(() => addressList([bad]))), 'config-invalid', bad);
  }
});

test('the client: statuses, errors, bounded bodies, copies of reused chunks', async (t) => {
  const got: string[] = [];
  const { port } = await serve(t, [
    { method: 'GET', path: '/ok', handler: (context) => sendText(context, 200, 'fine', { 'x-a': 'b' }) },
    { method: 'GET', path: '/no', handler: (context) => sendText(context, 404, 'x'.repeat(200_000)) },
    {
      method: 'POST',
      path: '/up',
      handler: async (context) => {
        got.push((await readBody(context.req, 1_000_000)).toString());
        sendText(context, 201, '');
      },
    },
    { method: 'GET', path: '/hang', handler: () => undefined },
    {
      method: 'GET',
      path: '/cut',
      handler: (context) =>
        void context.res.writeHead(200, { 'content-length': 9 }).write('1', () => context.res.destroy()),
    },
  ]);
  const client = createHttpClient();
  t.teardown(() => client.close());
  const host = `127.0.0.1:${port}`;
  const ok = await client.request(host, '/ok');
  t.deepEqual([ok.status, ok.header('x-a'), await ok.text()], [200, 'b', 'fine']);
  t.is(await codeOf((await client.request(host, '/ok')).text(3)), 'body-too-large');

  const failure = upstreamFailure(await t.throwsAsync(client.request(host, '/no')));
  t.is(failure?.status, 404);
  t.is(failure?.body.length, 65_536);
  t.is(failure?.url, `http://${host}/no`);
  const accepted = await client.request(host, '/no', { accept: [200, 404] });
  t.is(accepted.status, 404);
  await accepted.discard();

  const buffer = Buffer.alloc(3);
  const reusing = async function* (): AsyncGenerator<Uint8Array> {
    for (const text of ['abc', 'def', 'ghi']) {
      buffer.write(text);
      yield await Promise.resolve(buffer);
    }
    buffer.fill(0);
  };
  await client.request(host, '/up', {
    method: 'POST',
    body: reusing(),
    headers: { 'content-length': '9' },
    accept: [201],
  });
  t.deepEqual(got, ['abcdefghi']);

  t.is(await codeOf(client.request(host, '/hang', { headersTimeoutMs: 20 })), 'network-error');
  const controller = new AbortController();
  const hanging = codeOf(client.request(host, '/hang', { signal: controller.signal }));
  controller.abort();
  t.is(await hanging, 'cancelled');
  t.is(await codeOf(client.request('127.0.0.1:1', '/')), 'network-error');
  t.is(await codeOf((await client.request(host, '/cut')).text()), 'network-error');
});

test('closing: requests in flight finish within the grace, later ones are cut', async (t) => {
  let release: (() => void) | undefined;
  const server = await listenHttp({
    handler: createRouter([
      {
        method: 'GET',
        path: '/slow',
        handler: async (context) => {
          await new Promise<void>((resolve) => (release = resolve));
          sendText(context, 200, 'done');
        },
      },
      { method: 'GET', path: '/never', handler: () => undefined },
    ]),
    host: '127.0.0.1',
    port: 0,
  });
  const slow = rawExchange(server.port, 'GET /slow HTTP/1.1\r\nhost: a\r\n\r\n');
  await until(() => release !== undefined);
  const closing = server.close(10_000);
  release?.();
  t.true((await slow).endsWith('done'));
  await closing;
  t.is(server.close(), closing as never);

  const other = await serve(t, [{ method: 'GET', path: '/never', handler: () => undefined }]);
  const cut = rawExchange(other.port, 'GET /never HTTP/1.1\r\nhost: a\r\n\r\n');
  await sleep(20);
  await other.close(0);
  t.is(await cut, '');
});
