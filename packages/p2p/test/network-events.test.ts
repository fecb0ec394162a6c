/** Network events and torrent log: what people and Kraken's tools read about a transfer. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Bitfield, digestHex, type Digest } from '@kraken/core/content';
import { silentLogger, silentMetrics, type Logger } from '@kraken/core/ports';
import type { SwarmObservation } from '@kraken/core/swarm';
import { LineFile } from '../dist/host/line-file.js';
import { NetworkEvents } from '../dist/host/network-events.js';
import { SwarmStats } from '../dist/host/swarm-stats.js';
import { TorrentLog } from '../dist/host/torrent-log.js';
import { MemoryTracker, readAll, startNode, startOrigin, tempDir } from './client-kit.js';
import { eventually, ManualClock, testBlob, testPeerId } from './host-kit.js';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function keeping(): Logger & { readonly lines: Line[]; of(message: string): Line[] } {
  const lines: Line[] = [];
  const at =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push({ level, message, fields: fields as Line['fields'] });
  return {
    lines,
    of: (message) => lines.filter((line) => line.message === message),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
}

const blob = testBlob(300, 4096);
const digest: Digest = blob.digest;
const { infoHash } = blob.metainfo;
const peer = testPeerId(2);

test('a transfer of one piece, as both sides write it', async (t) => {
  const dir = await tempDir(t);
  const tracker = new MemoryTracker();
  const seederLog = keeping();
  const origin = await startOrigin(t, tracker, blob, {
    networkEvents: { path: join(dir, 'seeder') },
    logger: seederLog,
  });
  const log = keeping();
  const { node } = await startNode(t, { tracker, networkEvents: { path: join(dir, 'leecher') }, logger: log });
  t.true(
    (await readAll((await node.open(digest, { namespace: 'library/one', deadlineMs: 20_000 })).stream())).equals(
      blob.data,
    ),
  );
  t.true(await eventually(() => node.stats().connections === 0 && origin.node.stats().connections === 0));
  await node.close();
  await origin.node.close();

  const read = (name: string): Record<string, unknown>[] =>
    readFileSync(join(dir, name), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const leecher = read('leecher');
  t.deepEqual(
    leecher.map(({ event }) => event),
    ['add_torrent', 'add_active_conn', 'request_piece', 'receive_piece', 'torrent_complete', 'drop_active_conn'],
  );
  for (const line of leecher) {
    t.like(line, { torrent: infoHash, self: node.context.peerId });
    t.regex(String(line['ts']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  t.like(leecher[0], { bitfield: [false], conn_capacity: 10 });
  t.like(leecher[2], { peer: origin.node.context.peerId, piece: 0 });
  const seeder = read('seeder');
  t.deepEqual(
    seeder.map(({ event }) => event),
    ['add_torrent', 'torrent_complete', 'add_active_conn', 'drop_active_conn'],
  );
  t.like(seeder[0], { bitfield: [true] });

  const name = digestHex(digest);
  const seen = { name, info_hash: infoHash };
  t.like(log.of('Outgoing connection accept')[0]?.fields, { ...seen, remote_peer_id: origin.node.context.peerId });
  t.like(seederLog.of('Incoming connection accept')[0]?.fields, { ...seen, remote_peer_id: node.context.peerId });
  const [success] = log.of('Download success');
  t.is(success?.level, 'info');
  t.like(success?.fields, { namespace: 'library/one', name, size: 300 });
  t.is(typeof success?.fields['download_time'], 'number');
  t.deepEqual(log.of('Seeder summaries')[0]?.fields['seeder_summaries'], [
    {
      peer_id: origin.node.context.peerId,
      requests_sent: 1,
      good_pieces_received: 1,
      duplicate_pieces_received: 0,
    },
  ]);
});

test('a download that fails, and a peer that cannot be dialled, are logged with the reason', async (t) => {
  const tracker = new MemoryTracker();
  tracker.metainfos.set(digest, blob.metainfo);
  tracker.add(digest, { peerId: peer, ip: '127.0.0.1', port: 1, origin: true, complete: true });
  const log = keeping();
  const { node } = await startNode(t, { tracker, logger: log });
  await t.throwsAsync(node.download(digest, { deadlineMs: 300 }));
  t.is(log.of('Download failure')[0]?.level, 'error');
  t.like(log.of('Download failure')[0]?.fields, { name: digestHex(digest), code: 'pull-timeout' });
  t.like(log.of('Outgoing connection reject')[0]?.fields, { remote_peer_id: peer, code: 'peer-unreachable' });

  const givenUp = new AbortController();
  const waiting = node.download(digest, { signal: givenUp.signal });
  setImmediate(() => givenUp.abort());
  await t.throwsAsync(waiting);
  t.is(log.of('Download failure')[1]?.level, 'debug', 'the caller gave up');
});

const addedAs = (complete: boolean): SwarmObservation => ({
  kind: 'torrent-added',
  digest,
  infoHash,
  complete,
  rooted: false,
});
const added = addedAs(false);

test('events of torrents that end early; observations that Go has no event for', (t) => {
  const lines: string[] = [];
  const events = new NetworkEvents(
    { self: testPeerId(1), connCapacity: 3, have: () => Bitfield.of(2, [1]), wallClock: () => 0 },
    { append: (line) => lines.push(line) > 0, close: () => undefined },
  );
  const observations: SwarmObservation[] = [
    { kind: 'connection-added', digest, peer, inbound: true },
    added,
    { kind: 'peer-blacklisted', digest, peer, durationMs: 1234.4 },
    { kind: 'request-expired', digest, peer, piece: 0 },
    { kind: 'peer-misbehaved', peer, says: 'x' },
    { kind: 'torrent-removed', digest, reason: 'cancelled' },
  ];
  for (const observation of observations) events.note(observation);
  const common = `"torrent":"${infoHash}","self":"${testPeerId(1)}","ts":"1970-01-01T00:00:00.000Z"`;
  t.deepEqual(lines, [
    `{"event":"add_torrent",${common},"bitfield":[false,true],"conn_capacity":3}`,
    `{"event":"blacklist_conn",${common},"peer":"${peer}","duration_ms":1234}`,
    `{"event":"torrent_cancelled",${common}}`,
  ]);
});

test('time-outs of torrents and what was sent to whom', (t) => {
  const log = keeping();
  const torrents = new TorrentLog(log);
  const sent: SwarmObservation = { kind: 'piece-uploaded', digest, peer, piece: 0, length: 300 };
  for (const observation of [added, sent, sent] satisfies SwarmObservation[]) torrents.note(observation);
  torrents.note({ kind: 'torrent-removed', digest, reason: 'cancelled' });
  t.deepEqual(
    log.lines.map(({ message }) => message),
    ['Leech timeout', 'Leecher summaries'],
  );
  t.deepEqual(log.lines[1]?.fields['leecher_summaries'], [{ peer_id: peer, pieces_sent: 2 }]);
  torrents.note(addedAs(true));
  torrents.note({ kind: 'torrent-removed', digest, reason: 'idle' });
  t.is(log.of('Seed timeout').length, 1);
  torrents.note({ kind: 'connection-refused', digest, peer, reason: 'at-capacity' });
  const refused = log.of('Incoming connection reject')[0]?.fields ?? {};
  t.like(refused, { remote_peer_id: peer, error: 'at-capacity' });
  t.false('info_hash' in refused, 'a torrent that has left is not remembered');
});

test('a file of events that is full is kept, and a new one begins; a restart appends', async (t) => {
  const path = join(await tempDir(t), 'events');
  const open = (): LineFile =>
    new LineFile({ path, sizeLimitBytes: 30, atLimit: 'begin-anew', what: 'events' }, silentLogger, new ManualClock());
  const file = open();
  for (let i = 0; i < 7; i++) file.append(`line ${i} xx`);
  file.close();
  t.is(readFileSync(`${path}.previous`, 'utf8'), 'line 3 xx\nline 4 xx\nline 5 xx\n');
  t.is(readFileSync(path, 'utf8'), 'line 6 xx\n');
  const again = open();
  again.append('line 7 xx');
  again.close();
  t.is(readFileSync(path, 'utf8'), 'line 6 xx\nline 7 xx\n');
  t.is(statSync(path).mode & 0o777, 0o600);
});

test('totals of a torrent name its most recent peers, those of the node many more', (t) => {
  const stats = new SwarmStats(silentLogger, silentMetrics);
  const { digest } = testBlob(1, 1);
  const sent = (n: number): void =>
    stats.note({ kind: 'piece-uploaded', digest, peer: testPeerId(n), piece: 0, length: 1 });
  for (let n = 0; n < 300; n++) {
    sent(n);
    sent(0);
  }
  t.is(stats.total.toPeers.size, 300);
  t.is(stats.of(digest)?.toPeers.size, 64);
  t.true(stats.of(digest)?.toPeers.has(testPeerId(299)));
  t.is(stats.of(digest)?.toPeers.get(testPeerId(0))?.pieces, 301, 'who is there throughout is not forgotten');
  t.is(stats.of(digest)?.bytesSent, 600);
});
