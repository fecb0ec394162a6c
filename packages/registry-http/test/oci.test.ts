import { KrakenError } from '@kraken/core/errors';
import { OCI_INDEX, OCI_MANIFEST } from '@kraken/core/oci';
import type { OpenedBlob } from '@kraken/core/ports';
import { createOriginWriter } from '@kraken/registry-http';
import test from 'ava';
import fc from 'fast-check';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readCapture } from './support/captures.js';
import { digestOf, memoryCluster } from './support/memory-cluster.js';
import { rawExchange } from './support/raw-http.js';
import { errorCodes, image, registry, startUpload } from './support/registry-fixture.js';

const ABSENT = `sha256:${'ab'.repeat(32)}`;

test('a push recorded from skopeo against Go gets the same answers', async (t) => {
  const { cluster, send } = await registry(t, 'proxy');
  const exchanges = readCapture('skopeo-to-proxy_push.http');
  t.is(exchanges.length, 11);
  // The recording leaves out the layer's bytes: other bytes of the same length stand in, and the digests follow.
  const layer = Buffer.alloc(3_226, 'layer');
  const layerDigest = digestOf(layer);
  const oldLayer = 'sha256:819a85eaa75d653cfc5490fe1998e989210857fd37c6edb38c0aca16530f4075';
  const oldManifest = 'sha256:599ae3f318dbe0194fd588be61fee94b4d3d41e4673c70380acbd2025c55dc85';
  const manifestBody = (exchanges.at(-1)?.requestBody ?? '').replaceAll(oldLayer, layerDigest);
  const translate = (text: string): string =>
    text
      .replaceAll(oldLayer, layerDigest)
      .replaceAll(encodeURIComponent(oldLayer), encodeURIComponent(layerDigest))
      .replaceAll(oldManifest, digestOf(manifestBody))
      .replace('http://127.0.0.1:18010', '');
  let location = '';
  for (const exchange of exchanges) {
    const isSession = exchange.path.includes('/blobs/uploads/') && exchange.method !== 'POST';
    const digest = /[?&](digest=.*)$/.exec(exchange.path)?.[1];
    const path = isSession
      ? location + (digest === undefined ? '' : `?${translate(digest)}`)
      : translate(exchange.path);
    const isLayer = exchange.requestBody.startsWith('<3226 body bytes');
    const body = isLayer ? layer : translate(exchange.requestBody);
    const headers: Record<string, string> = { ...exchange.requestHeaders };
    delete headers['content-length'];
    const answer = await send(exchange.method, path, headers, body);
    const where = `${exchange.method} ${exchange.path}`;
    t.is(answer.status, exchange.status, where);
    for (const name of ['docker-distribution-api-version', 'docker-content-digest', 'range']) {
      t.is(answer.headers[name] ?? '', translate(exchange.headers[name] ?? ''), `${where}: ${name}`);
    }
    if (exchange.status < 300) t.is(answer.headers['content-length'], exchange.headers['content-length'], where);
    if (exchange.headers['content-type'] !== undefined)
      t.is(answer.headers['content-type'], exchange.headers['content-type'], where);
    if (exchange.headers['docker-upload-uuid'] !== undefined) {
      t.truthy(answer.headers['docker-upload-uuid'], where);
      location = answer.headers['location'] ?? '';
      t.is(location, `/v2/test/alpine/blobs/uploads/${answer.headers['docker-upload-uuid']}`);
    } else if (exchange.headers['location'] !== undefined) {
      t.is(answer.headers['location'], translate(exchange.headers['location']), where);
    }
  }
  t.is(cluster.tagMap.get('test/alpine:latest'), digestOf(manifestBody));
  t.is(cluster.held.size, 3);
  t.is(cluster.uploads.sessions.size, 0);
  t.true(cluster.calls.includes(`upload test/alpine ${layerDigest}`), 'the repository is the namespace');
});

test('a pull recorded from skopeo against Go gets the same answers', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  const exchanges = readCapture('skopeo-to-agent-registry_pull.http');
  t.is(exchanges.length, 3);
  const [, manifest, config] = exchanges;
  cluster.tagMap.set('test/alpine:latest', cluster.add(manifest?.body ?? ''));
  cluster.add(config?.body ?? '');
  for (const exchange of exchanges) {
    const answer = await send(exchange.method, exchange.path, exchange.requestHeaders);
    t.is(answer.status, exchange.status);
    t.is(answer.body, exchange.body);
    for (const [name, value] of Object.entries(exchange.headers)) {
      if (!['server', 'date', 'connection'].includes(name)) t.is(answer.headers[name], value, name);
    }
  }
});

/** Titles of the recorded agent registry where we answer otherwise, with our status. */
const AGENT_DIFFERENCES: Readonly<Record<string, number>> = {
  'reg blob unknown': 404,
  'reg blob HEAD unknown': 404,
  'reg manifest digest unknown': 404,
  'reg manifest tag no Accept': 200,
  'reg upload start': 405,
  'reg tags list': 200,
  'reg catalog': 200,
};

test('the recorded answers of a Go agent registry, except where they are defects', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  const exchanges = readCapture('agent-api.http').filter(
    (exchange) => exchange.path.startsWith('/v2/') && exchange.port === '18060',
  );
  t.is(exchanges.length, 15);
  cluster.tagMap.set(
    'lab/img:v1',
    cluster.add(exchanges.find((exchange) => exchange.title === 'reg manifest tag')?.body ?? ''),
  );
  cluster.add('0123456789');
  let different = 0;
  for (const exchange of exchanges) {
    const answer = await send(exchange.method, exchange.path, exchange.requestHeaders);
    const ours = AGENT_DIFFERENCES[exchange.title];
    t.is(answer.status, ours ?? exchange.status, exchange.title);
    if (ours !== undefined) {
      different += 1;
      continue;
    }
    t.is(answer.headers['content-type'], exchange.headers['content-type'], exchange.title);
    if (exchange.status < 300) {
      t.is(answer.body, exchange.body, exchange.title);
      for (const name of [
        'content-length',
        'content-range',
        'accept-ranges',
        'etag',
        'docker-content-digest',
        'cache-control',
      ]) {
        t.is(answer.headers[name], exchange.headers[name], `${exchange.title}: ${name}`);
      }
    } else {
      t.deepEqual(errorCodes(answer), errorCodes({ ...answer, body: exchange.body }), exchange.title);
    }
  }
  t.is(different, Object.keys(AGENT_DIFFERENCES).length);
});

test('manifests by tag and digest, conditional, and blobs that are none', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  const body = image(ABSENT);
  const digest = cluster.add(body);
  cluster.tagMap.set('a/b:v', digest);
  const text = cluster.add('no manifest');
  for (const reference of ['v', digest, digest.replace(':', '%3A')]) {
    const answer = await send('GET', `/v2/a/b/manifests/${reference}`);
    t.is(answer.body, body, reference);
    t.is(answer.headers['content-type'], OCI_MANIFEST);
  }
  for (const etag of [`"${digest}"`, digest, `W/"${digest}"`, `"x", "${digest}"`]) {
    const answer = await send('GET', '/v2/a/b/manifests/v', { 'if-none-match': etag });
    t.deepEqual([answer.status, answer.body, answer.headers['etag']], [304, '', `"${digest}"`], etag);
  }
  t.is((await send('GET', '/v2/a/b/manifests/v', { 'if-none-match': '"other"' })).status, 200);
  t.is((await send('GET', '/v2/a/b/manifests/v?ns=docker.io')).status, 200);
  const none = await send('GET', `/v2/a/b/manifests/${text}`);
  t.deepEqual([none.status, errorCodes(none)], [404, ['MANIFEST_UNKNOWN']]);
  const head = await send('HEAD', `/v2/a/b/manifests/${ABSENT}`);
  t.deepEqual([head.status, head.body], [404, '']);
});

test('HEAD of a blob reads metadata only; ranges fetch only what they ask for', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  const content = Buffer.from(Array.from({ length: 50_000 }, (_, index) => index % 251));
  const digest = cluster.add(content);
  const head = await send('HEAD', `/v2/a/b/blobs/${digest}`);
  t.deepEqual([head.status, head.headers['content-length'], head.body], [200, '50000', '']);
  t.deepEqual(cluster.calls, [`stat a/b ${digest}`]);

  const whole = await send('GET', `/v2/a/b/blobs/${digest}`);
  t.true(Buffer.from(whole.body, 'latin1').equals(content), 'chunks that are reused arrive unchanged');

  cluster.calls.length = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(49_999), fc.nat(60_000), async (start, extra) => {
      const answer = await send('GET', `/v2/a/b/blobs/${digest}`, { range: `bytes=${start}-${start + extra}` });
      const end = Math.min(50_000, start + extra + 1);
      return (
        answer.status === 206 &&
        answer.headers['content-range'] === `bytes ${start}-${end - 1}/50000` &&
        answer.headers['content-length'] === String(end - start) &&
        Buffer.from(answer.body, 'latin1').equals(content.subarray(start, end))
      );
    }),
    { numRuns: 20 },
  );
  const suffix = await send('GET', `/v2/a/b/blobs/${digest}`, { range: 'bytes=-3' });
  t.is(suffix.headers['content-range'], 'bytes 49997-49999/50000');
  t.is(cluster.calls.at(-1), `open a/b ${digest} 49997-50000`);
  const outside = await send('GET', `/v2/a/b/blobs/${digest}`, { range: 'bytes=50000-' });
  t.deepEqual([outside.status, outside.headers['content-range']], [416, 'bytes */50000']);
  t.is((await send('GET', `/v2/a/b/blobs/${digest}`, { range: 'bytes=0-1', 'if-range': '"other"' })).status, 200);
  t.is((await send('GET', `/v2/a/b/blobs/${digest}`, { range: 'bytes=0-1', 'if-range': `"${digest}"` })).status, 206);
  t.is((await send('GET', `/v2/a/b/blobs/${digest}`, { 'if-none-match': `"${digest}"` })).status, 304);
  t.is((await send('GET', `/v2/a/b/blobs/${digest}`, { range: 'lines=1-2' })).status, 200);
});

test('a blob that fails on the way breaks the connection', async (t) => {
  const cluster = memoryCluster();
  let closed = 0;
  const failing: OpenedBlob = {
    length: 20_000,
    async *stream() {
      yield await Promise.resolve(Buffer.alloc(5_000));
      throw new KrakenError('pull-stalled', 'no peer');
    },
    close: () => (closed += 1),
  };
  const { send } = await registry(t, 'agent', { blobs: { ...cluster.blobs, open: () => Promise.resolve(failing) } });
  const answer = await send('GET', `/v2/a/b/blobs/${ABSENT}`);
  t.deepEqual([answer.status, answer.truncated, answer.body.length], [200, true, 5_000]);
  t.is(closed, 1);
});

test('failures of the cluster have their own status', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  const cases = [
    ['storage-unavailable', 503, 'UNAVAILABLE'],
    ['pull-timeout', 504, 'UNAVAILABLE'],
    ['too-many-pulls', 503, 'TOOMANYREQUESTS'],
    ['blob-unknown', 404, 'BLOB_UNKNOWN'],
  ] as const;
  for (const [code, status, oci] of cases) {
    cluster.failure = new KrakenError(code, 'because of this');
    const answer = await send('GET', `/v2/a/b/blobs/${ABSENT}`);
    t.deepEqual([answer.status, errorCodes(answer)], [status, [oci]], code);
    t.true(answer.body.includes('because of this'));
  }
  cluster.failure = new KrakenError('upstream-failed', 'GET http://10.0.0.1/secret 500');
  const hidden = await send('GET', `/v2/a/b/blobs/${ABSENT}`);
  t.is(hidden.status, 502);
  t.false(hidden.body.includes('10.0.0.1'));
});

test('pushes survive storage that is down, pulls say so', async (t) => {
  const proxy = await registry(t, 'proxy');
  const agent = await registry(t, 'agent');
  for (const { cluster } of [proxy, agent]) cluster.failure = new KrakenError('storage-unavailable', 'down');
  t.is((await proxy.send('HEAD', `/v2/a/b/blobs/${ABSENT}`)).status, 404);
  t.is((await agent.send('HEAD', `/v2/a/b/blobs/${ABSENT}`)).status, 503);
  t.is((await proxy.send('POST', `/v2/a/b/blobs/uploads/?mount=${ABSENT}&from=c`)).status, 202);

  const config = digestOf('{}');
  t.is((await proxy.send('POST', `/v2/a/b/blobs/uploads/?digest=${config}`, {}, '{}')).status, 201);
  t.is((await proxy.send('PUT', '/v2/a/b/manifests/v', { 'content-type': OCI_MANIFEST }, image(config))).status, 201);
  t.is(
    (await proxy.send('PUT', '/v2/a/b/manifests/w', { 'content-type': OCI_MANIFEST }, image(config, ABSENT))).status,
    503,
    'cannot tell whether it is there',
  );
  t.false(proxy.cluster.tagMap.has('a/b:w'));
});

test('uploads in chunks: order is enforced, an interrupted one goes on', async (t) => {
  const { cluster, port, send } = await registry(t, 'proxy');
  const content = Buffer.from('0123456789abcdef');
  const digest = digestOf(content);
  const location = await startUpload(send);
  const octets = { 'content-type': 'application/octet-stream' };

  const first = await send('PATCH', location, { ...octets, 'content-range': '0-5' }, content.subarray(0, 6));
  t.deepEqual([first.status, first.headers['range']], [202, '0-5']);
  for (const range of ['0-5', '7-9', '5-9']) {
    const [start = 0, end = 0] = range.split('-').map(Number);
    const refused = await send(
      'PATCH',
      location,
      { ...octets, 'content-range': range },
      content.subarray(start, end + 1),
    );
    t.deepEqual(
      [refused.status, refused.headers['range'], errorCodes(refused)],
      [416, '0-5', ['BLOB_UPLOAD_INVALID']],
      range,
    );
  }
  t.is(
    (await send('PATCH', location, { ...octets, 'content-range': '6-9' }, content.subarray(6, 9))).status,
    400,
    'lengths disagree',
  );
  t.is((await send('PATCH', location, { ...octets, 'content-range': 'x' }, 'x')).status, 400);
  t.is((await send('PATCH', location, { ...octets, 'content-range': '9-6' }, 'x')).status, 416);

  // The client vanishes in the middle of a chunk.
  const socket = connect(port, '127.0.0.1');
  socket.write(`PATCH ${location} HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n678`);
  while ((await send('GET', location)).headers['range'] !== '0-8') await sleep(5);
  const busy = await send('PATCH', location, {}, 'zzz');
  t.deepEqual([busy.status, errorCodes(busy)], [409, ['BLOB_UPLOAD_INVALID']], 'one writer at a time');
  t.is((await send('DELETE', location)).status, 409);
  socket.destroy();
  let status = await send('PATCH', location, { 'content-range': '9-9' }, content.subarray(9, 10));
  while (status.status === 409)
    status = await send('PATCH', location, { 'content-range': '9-9' }, content.subarray(9, 10));
  t.is(status.status, 202);

  const state = await send('GET', location);
  t.deepEqual([state.status, state.headers['range'], state.headers['location']], [204, '0-9', location]);
  const done = await send(
    'PUT',
    `${location}?digest=${digest}`,
    { ...octets, 'content-range': '10-15' },
    content.subarray(10),
  );
  t.deepEqual(
    [done.status, done.headers['location'], done.headers['docker-content-digest']],
    [201, `/v2/a/b/blobs/${digest}`, digest],
  );
  t.deepEqual(cluster.held.get(digest), content);
  t.is((await send('GET', location)).status, 404, 'the session has ended');
});

test('monolithic uploads, mounts, empty blobs and cancelled sessions', async (t) => {
  const { cluster, port, send } = await registry(t, 'proxy');
  const digest = digestOf('hello');
  const post = await send('POST', `/v2/a/b/blobs/uploads/?digest=${encodeURIComponent(digest)}`, {}, 'hello');
  t.deepEqual([post.status, post.headers['location']], [201, `/v2/a/b/blobs/${digest}`]);
  t.is(cluster.held.get(digest)?.toString(), 'hello');
  const mounted = await send('POST', `/v2/c/blobs/uploads/?mount=${digest}&from=a/b`);
  t.deepEqual([mounted.status, mounted.headers['location']], [201, `/v2/c/blobs/${digest}`]);
  t.is((await send('POST', `/v2/c/blobs/uploads/?mount=${ABSENT}&from=a/b`)).status, 202);
  const empty = digestOf('');
  t.is((await send('PUT', `${await startUpload(send)}?digest=${empty}`)).status, 201);
  t.is(cluster.held.get(empty)?.length, 0);
  const chunked = await rawExchange(
    port,
    `PUT ${await startUpload(send)}?digest=${digest} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  );
  t.regex(chunked, /^HTTP\/1.1 201 /);
  const location = await startUpload(send);
  t.is((await send('DELETE', location)).status, 204);
  t.is((await send('DELETE', location)).status, 404);
});

test('malformed and refused requests: the right status, and nothing is half stored', async (t) => {
  const { cluster, send } = await registry(t, 'proxy', {
    limits: { blobBytesMax: 100, manifestBytesMax: 600, manifestReferencesMax: 3 },
  });
  const config = digestOf('{}');
  await send('POST', `/v2/a/b/blobs/uploads/?digest=${config}`, {}, '{}');
  const before = [...cluster.held.keys()];
  const many = image(config, ...['1', '2', '3'].map((digit) => `sha256:${digit.repeat(64)}`));
  const json = { 'content-type': OCI_MANIFEST };
  type Row = readonly [
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    status: number,
    code: string,
  ];
  const session = await startUpload(send);
  const rows: readonly Row[] = [
    ['GET', '/v2/A/b/manifests/v', {}, '', 400, 'NAME_INVALID'],
    ['GET', '/v2/../b/manifests/v', {}, '', 400, 'NAME_INVALID'],
    ['GET', '/v2/a//b/manifests/v', {}, '', 400, 'NAME_INVALID'],
    ['GET', `/v2/${'a'.repeat(256)}/tags/list`, {}, '', 400, 'NAME_INVALID'],
    ['GET', '/v2/a/b/manifests/-v', {}, '', 400, 'TAG_INVALID'],
    ['GET', '/v2/a/b/manifests/..', {}, '', 400, 'TAG_INVALID'],
    ['GET', '/v2/a/b/manifests/sha256:zz', {}, '', 400, 'DIGEST_INVALID'],
    ['GET', `/v2/a/b/blobs/sha512:${'a'.repeat(128)}`, {}, '', 400, 'DIGEST_INVALID'],
    ['GET', '/v2/a%zz/manifests/v', {}, '', 400, 'UNSUPPORTED'],
    ['GET', '/v2/a/b/tags/list?n=x', {}, '', 400, 'UNSUPPORTED'],
    ['GET', '/v2/a/b/tags/list', {}, '', 404, 'NAME_UNKNOWN'],
    ['GET', '/v2/a/b/manifests/v', {}, '', 404, 'MANIFEST_UNKNOWN'],
    ['GET', `/v2/a/b/blobs/${ABSENT}`, {}, '', 404, 'BLOB_UNKNOWN'],
    ['DELETE', `/v2/a/b/blobs/${config}`, {}, '', 405, 'UNSUPPORTED'],
    ['DELETE', '/v2/a/b/manifests/v', {}, '', 405, 'UNSUPPORTED'],
    ['POST', '/v2/a/b/manifests/v', {}, '', 405, 'UNSUPPORTED'],
    ['PUT', '/v2/_catalog', {}, '', 405, 'UNSUPPORTED'],
    ['POST', '/v2/A/blobs/uploads/', {}, '', 400, 'NAME_INVALID'],
    ['POST', '/v2/a/b/blobs/uploads/?mount=x&from=c', {}, '', 400, 'DIGEST_INVALID'],
    ['POST', '/v2/a/b/blobs/uploads/?digest=x', {}, 'abc', 400, 'DIGEST_INVALID'],
    ['POST', `/v2/a/b/blobs/uploads/?digest=${ABSENT}`, {}, 'abc', 400, 'DIGEST_INVALID'],
    ['POST', `/v2/a/b/blobs/uploads/?digest=${ABSENT}`, {}, 'x'.repeat(101), 413, 'SIZE_INVALID'],
    ['PATCH', session, {}, 'x'.repeat(101), 413, 'SIZE_INVALID'],
    ['PUT', session, {}, '', 400, 'DIGEST_INVALID'],
    ['PUT', `${session}?digest=sha256:1`, {}, '', 400, 'DIGEST_INVALID'],
    ['PUT', `${session}?digest=${ABSENT}`, {}, 'abc', 400, 'DIGEST_INVALID'],
    ['PATCH', session, {}, 'x', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['GET', '/v2/a/b/blobs/uploads/etc', {}, '', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['GET', '/v2/a/b/blobs/uploads/00000000-0000-0000-0000-000000000000', {}, '', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['PUT', '/v2/a/b/manifests/v', json, '', 400, 'MANIFEST_INVALID'],
    ['PUT', '/v2/a/b/manifests/v', json, '{"schemaVersion":1}', 400, 'MANIFEST_INVALID'],
    ['PUT', '/v2/a/b/manifests/v', { 'content-type': OCI_INDEX }, image(config), 400, 'MANIFEST_INVALID'],
    ['PUT', '/v2/a/b/manifests/v', json, image('sha256:zz'), 400, 'MANIFEST_INVALID'],
    ['PUT', '/v2/a/b/manifests/v', json, many, 400, 'MANIFEST_INVALID'],
    ['PUT', '/v2/a/b/manifests/v', json, 'x'.repeat(601), 413, 'SIZE_INVALID'],
    ['PUT', '/v2/a/b/manifests/v', json, image(config, ABSENT), 400, 'MANIFEST_BLOB_UNKNOWN'],
    ['PUT', '/v2/a/b/manifests/..', json, image(config), 400, 'TAG_INVALID'],
    ['PUT', `/v2/a/b/manifests/${ABSENT}`, json, image(config), 400, 'DIGEST_INVALID'],
  ];
  for (const [method, path, headers, body, status, code] of rows) {
    const answer = await send(method, path, headers, body);
    const where = `${method} ${path.slice(0, 80)} ${body.slice(0, 30)}`;
    t.deepEqual([answer.status, errorCodes(answer)], [status, [code]], where);
    t.is(answer.headers['docker-distribution-api-version'], 'registry/2.0', where);
    if (path === '/v2/_catalog') t.is(answer.headers['allow'], 'GET');
  }
  for (const path of [
    '/v2/a',
    '/v2/a/b/',
    '/v2/manifests/v',
    '/v2//tags/list/x',
    '/v3/',
    '/v2/tags/list',
    '/v2/a/blobs/uploads/..%2F..%2Fetc',
  ]) {
    const answer = await send('GET', path);
    t.deepEqual([answer.status, answer.body], [404, '404 page not found\n'], path);
  }
  t.deepEqual([...cluster.held.keys()], before);
  t.is(cluster.tagMap.size, 0);
  t.is(cluster.uploads.sessions.size, 0);
});

test('nothing is acknowledged that the cluster did not take', async (t) => {
  const cluster = memoryCluster();
  const origins = {
    ...cluster.origins,
    upload: () => Promise.reject(new KrakenError('origin-unavailable', 'no origin')),
  };
  const { send } = await registry(t, 'proxy', {
    writer: createOriginWriter({ store: cluster.store, origins }),
    blobs: cluster.blobs,
    tags: cluster.tags,
  });
  const config = digestOf('{}');
  const put = await send('PUT', `${await startUpload(send)}?digest=${config}`, {}, '{}');
  t.deepEqual([put.status, errorCodes(put)], [503, ['UNAVAILABLE']]);
  t.is((await send('PUT', '/v2/a/b/manifests/v', {}, image(config))).status, 503);
  t.is(cluster.tagMap.size, 0);
});

test('an agent takes no pushes', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  const id = '00000000-0000-0000-0000-000000000000';
  for (const [method, path] of [
    ['POST', '/v2/a/b/blobs/uploads/'],
    ['PATCH', `/v2/a/b/blobs/uploads/${id}`],
    ['PUT', `/v2/a/b/blobs/uploads/${id}?digest=${ABSENT}`],
    ['PUT', '/v2/a/b/manifests/v'],
    ['DELETE', '/v2/a/b/manifests/v'],
  ] as const) {
    const answer = await send(method, path, {}, method === 'DELETE' ? '' : 'body');
    t.deepEqual([answer.status, errorCodes(answer)], [405, ['UNSUPPORTED']], `${method} ${path}`);
    t.is(answer.headers['allow'], path.includes('/manifests/') ? 'GET, HEAD' : '');
  }
  t.deepEqual(cluster.calls, []);
});

test('limits of sessions and of simultaneous uploads', async (t) => {
  const { cluster, send } = await registry(t, 'proxy', { limits: { uploadsMax: 0 } });
  const full = await send('PATCH', await startUpload(send), {}, 'x');
  t.deepEqual([full.status, errorCodes(full), full.headers['retry-after']], [503, ['TOOMANYREQUESTS'], '1']);
  t.is((await send('POST', `/v2/a/b/blobs/uploads/?digest=${digestOf('x')}`, {}, 'x')).status, 503);
  t.is(cluster.uploads.sessions.size, 1, 'the one that waits for its bytes');
  cluster.uploads.sessionsMax = 1;
  t.is((await send('POST', '/v2/a/b/blobs/uploads/')).status, 503);
});

test('tags and repositories page through everything once', async (t) => {
  const { cluster, send } = await registry(t, 'agent');
  for (const name of ['x/b:2', 'x/b:1', 'x/b:10', 'a:1', 'a:2', 'z:1', 'x/bc:1'])
    cluster.tagMap.set(name, ABSENT as never);
  const all = await send('GET', '/v2/x/b/tags/list');
  t.is(all.body, '{"name":"x/b","tags":["1","10","2"]}\n');
  t.is(all.headers['link'], undefined);
  const first = await send('GET', '/v2/x/b/tags/list?n=2');
  t.is(first.headers['link'], '</v2/x/b/tags/list?n=2&last=10>; rel="next"');
  t.is((await send('GET', '/v2/x/b/tags/list?n=2&last=10')).body, '{"name":"x/b","tags":["2"]}\n');
  t.is((await send('GET', '/v2/x/b/tags/list?n=0')).body, '{"name":"x/b","tags":[]}\n');

  t.is((await send('GET', '/v2/_catalog')).body, '{"repositories":["a","x/b","x/bc","z"]}\n');
  const page = await send('GET', '/v2/_catalog?n=3');
  t.is(page.headers['link'], '</v2/_catalog?n=3&last=x%2Fbc>; rel="next"');
  t.is((await send('GET', '/v2/_catalog?n=3&last=x/bc')).body, '{"repositories":["z"]}\n');
});

test('referrers are listed by subject, and the fallback tag says the same', async (t) => {
  const { cluster, send } = await registry(t, 'proxy');
  const config = digestOf('{}');
  await send('POST', `/v2/a/blobs/uploads/?digest=${config}`, {}, '{}');
  const subject = digestOf('subject');
  const attached = (kind: string): string =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: kind,
      config: { digest: config, mediaType: 'application/vnd.oci.empty.v1+json', size: 2 },
      layers: [],
      subject: { digest: subject, mediaType: OCI_MANIFEST, size: 7 },
      annotations: { kind },
    });
  const none = await send('GET', `/v2/a/referrers/${subject}`);
  t.deepEqual([none.status, none.headers['content-type']], [200, OCI_INDEX]);
  t.is(none.body, `{"schemaVersion":2,"mediaType":"${OCI_INDEX}","manifests":[]}`);
  const bodies = ['application/a', 'application/b', 'application/c'].map(attached);
  const puts = await Promise.all(
    bodies.map((body) => send('PUT', `/v2/a/manifests/${digestOf(body)}`, { 'content-type': OCI_MANIFEST }, body)),
  );
  for (const put of puts) t.deepEqual([put.status, put.headers['oci-subject']], [201, subject]);
  await send('PUT', `/v2/a/manifests/${digestOf(bodies[0] ?? '')}`, { 'content-type': OCI_MANIFEST }, bodies[0]);
  const listed = JSON.parse((await send('GET', `/v2/a/referrers/${subject}`)).body) as {
    manifests: readonly Record<string, unknown>[];
  };
  t.is(listed.manifests.length, 3, 'pushed at once, none lost, none twice');
  const filtered = await send('GET', `/v2/a/referrers/${subject}?artifactType=application/b`);
  t.is(filtered.headers['oci-filters-applied'], 'artifactType');
  const body = bodies[1] ?? '';
  t.deepEqual((JSON.parse(filtered.body) as { manifests: unknown[] }).manifests, [
    {
      mediaType: OCI_MANIFEST,
      digest: digestOf(body),
      size: body.length,
      artifactType: 'application/b',
      annotations: { kind: 'application/b' },
    },
  ]);
  t.is(
    (JSON.parse((await send('GET', `/v2/a/manifests/${subject.replace(':', '-')}`)).body) as { manifests: unknown[] })
      .manifests.length,
    3,
  );

  // A build-index that keeps the first value: the client must maintain the list itself, so the header is absent.
  cluster.tags.put = () => Promise.resolve();
  const refused = await send(
    'PUT',
    `/v2/a/manifests/${digestOf(attached('application/d'))}`,
    {},
    attached('application/d'),
  );
  t.deepEqual([refused.status, refused.headers['oci-subject']], [201, undefined]);
});

test('an index needs its children, and layers are asked for under the repository', async (t) => {
  const { cluster, send } = await registry(t, 'proxy');
  const config = digestOf('{}');
  await send('POST', `/v2/a/blobs/uploads/?digest=${config}`, {}, '{}');
  const child = image(config);
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ digest: digestOf(child), mediaType: OCI_MANIFEST, size: child.length }],
  });
  const early = await send('PUT', '/v2/a/manifests/multi', { 'content-type': OCI_INDEX }, index);
  t.deepEqual(
    [early.status, JSON.parse(early.body)],
    [
      400,
      { errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', message: 'blob unknown to registry', detail: digestOf(child) }] },
    ],
  );
  t.is((await send('PUT', `/v2/a/manifests/${digestOf(child)}`, { 'content-type': OCI_MANIFEST }, child)).status, 201);
  t.is((await send('PUT', '/v2/a/manifests/multi', { 'content-type': OCI_INDEX }, index)).status, 201);
  t.is(cluster.tagMap.get('a:multi'), digestOf(index));
});
