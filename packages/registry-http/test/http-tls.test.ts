import { isKrakenError } from '@kraken/core/errors';
import {
  createAccessPolicy,
  createHttpClient,
  createRouter,
  listenHttp,
  sendText,
  type AccessPolicyOptions,
  type TlsClientOptions,
} from '@kraken/registry-http';
import test, { type ExecutionContext } from 'ava';
import { readFileSync } from 'node:fs';
import { rawRequest } from './support/raw-http.js';

const pem = (name: string): string => readFileSync(new URL(`../test/fixtures/tls/${name}`, import.meta.url), 'utf8');
const server = {
  cert: pem('server.crt'),
  key: pem('server.key'),
  ca: [pem('ca.crt')],
  clientCertificates: 'kraken',
} as const;
const trusting: TlsClientOptions = { ca: [pem('ca.crt')] };
const certified: TlsClientOptions = { ...trusting, cert: pem('client.crt'), key: pem('client.key') };
const stranger: TlsClientOptions = { ...trusting, cert: pem('stranger.crt'), key: pem('stranger.key') };

const handler = createRouter([
  { method: 'GET', path: '/health', handler: (context) => sendText(context, 200, 'OK') },
  { method: 'POST', path: '/upload', handler: (context) => sendText(context, 201, '') },
]);

async function listen(
  t: ExecutionContext,
  access: AccessPolicyOptions,
  tls?: Parameters<typeof listenHttp>[0]['tls'],
): Promise<string> {
  const listening = await listenHttp({
    handler,
    host: '127.0.0.1',
    port: 0,
    access: createAccessPolicy(access),
    ...(tls === undefined ? {} : { tls }),
  });
  t.teardown(() => listening.close());
  return `127.0.0.1:${listening.port}`;
}

/** The status, or the code of the failure. */
async function ask(
  host: string,
  tls: TlsClientOptions | undefined,
  method: 'GET' | 'POST',
  path: string,
): Promise<number | string> {
  const client = createHttpClient(tls === undefined ? {} : { tls });
  try {
    const response = await client.request(host, path, { method, accept: [200, 201, 400, 403] });
    await response.discard();
    return response.status;
  } catch (error) {
    return isKrakenError(error) ? error.code : String(error);
  } finally {
    await client.close();
  }
}

test('reads are open, writes need a verified client certificate', async (t) => {
  const strict = await listen(t, { loopbackExempt: false }, server);
  t.is(await ask(strict, trusting, 'GET', '/health'), 200);
  t.is(await ask(strict, trusting, 'POST', '/upload'), 403);
  t.is(await ask(strict, certified, 'POST', '/upload'), 201);
  t.is(await ask(strict, stranger, 'POST', '/upload'), 400, 'a certificate that does not verify');
  t.is(await ask(strict, stranger, 'GET', '/health'), 400);
});

test('loopback is exempt by default, plain HTTP always', async (t) => {
  t.is(await ask(await listen(t, {}, server), trusting, 'POST', '/upload'), 201);
  t.is(await ask(await listen(t, { loopbackExempt: false }), undefined, 'POST', '/upload'), 201);
  t.is(
    await ask(
      await listen(t, { clientCertificates: 'none', loopbackExempt: false }, { ...server, clientCertificates: 'none' }),
      trusting,
      'POST',
      '/upload',
    ),
    201,
  );
});

test('the client verifies the server', async (t) => {
  const host = await listen(t, {}, server);
  t.is(await ask(host, { ca: [pem('client.crt')] }, 'GET', '/health'), 'network-error', 'another authority');
  t.is(await ask(host, { ...trusting, serverName: 'elsewhere' }, 'GET', '/health'), 'network-error', 'another name');
  t.is(await ask(host, { ...trusting, serverName: 'kraken' }, 'GET', '/health'), 200);
  t.is(await ask(host, { rejectUnauthorized: false }, 'GET', '/health'), 200);
  t.is(await ask(host, undefined, 'GET', '/health'), 'network-error', 'plain HTTP on a TLS port');
});

test('TLS settings: encrypted keys, replacement, mistakes', async (t) => {
  const encrypted = { ...server, key: pem('server-encrypted.key'), passphrase: 'kraken' };
  t.is(await ask(await listen(t, {}, encrypted), trusting, 'GET', '/health'), 200);
  const wrong = await t.throwsAsync(listen(t, {}, { ...encrypted, passphrase: 'x' }));
  t.true(isKrakenError(wrong, 'config-invalid'));
  const open = await t.throwsAsync(listen(t, {}, { cert: server.cert, key: server.key, clientCertificates: 'kraken' }));
  t.true(isKrakenError(open, 'config-invalid'), 'no authority for client certificates');

  const listening = await listenHttp({ handler, host: '127.0.0.1', port: 0, tls: server });
  t.teardown(() => listening.close());
  const host = `127.0.0.1:${listening.port}`;
  t.is(await ask(host, trusting, 'GET', '/health'), 200);
  listening.reloadTls({ ...server, cert: pem('stranger.crt'), key: pem('stranger.key') });
  t.is(await ask(host, trusting, 'GET', '/health'), 'network-error');
  t.throws(() => listening.reloadTls({ ...server, key: 'no key' }));
});

test('an allow-list covers everything, an empty one denies everybody', async (t) => {
  const port = async (allowedCidrs: readonly string[]): Promise<number> =>
    Number((await listen(t, { allowedCidrs })).split(':')[1]);
  t.is((await rawRequest(await port(['127.0.0.0/8']), 'GET', '/health')).status, 200);
  for (const list of [[], ['10.0.0.0/8'], ['::1']]) {
    const refused = await rawRequest(await port(list), 'GET', '/health');
    t.deepEqual([refused.status, refused.body], [403, ''], list.join());
  }
});
