/** Recordings of real nodes: written while they work, replayed to the last step by the script that people use. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { isKrakenError } from '@kraken/core/errors';
import { silentLogger, type Logger } from '@kraken/core/ports';
import { openRecordingFile } from '../dist/host/recording-file.js';
import { MemoryTracker, readAll, startNode, startOrigin, tempDir } from './client-kit.js';
import { eventually, ManualClock, MIB, RawPeer, testBlob } from './host-kit.js';

const SCRIPT = fileURLToPath(new URL('../../../scripts/replay.mjs', import.meta.url));

function replay(file: string): { status: number | null; says: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, file], { encoding: 'utf8' });
  return { status, says: stdout + stderr };
}

test('agents and origin of a transfer are recorded and replay; an altered file tells its first difference', async (t) => {
  const dir = await tempDir(t);
  const file = (name: string): string => join(dir, `${name}.recording`);
  const tracker = new MemoryTracker();
  const blob = testBlob(20 * 64 * 1024 + 5, 64 * 1024);
  const origin = await startOrigin(t, tracker, blob, { record: { path: file('origin') } });
  const nodes = [];
  for (const name of ['a', 'b', 'c']) nodes.push(await startNode(t, { tracker, record: { path: file(name) } }));
  for (const got of await Promise.all(
    nodes.map(async ({ node }) => readAll((await node.open(blob.digest, { deadlineMs: 20_000 })).stream())),
  ))
    t.true(got.equals(blob.data));
  nodes[0]?.node.reconfigure({ pipelineLimit: 1 });
  await nodes[1]?.node.remove(blob.digest);
  const stranger = await RawPeer.dial(origin.node.port);
  stranger.write(Buffer.from('00000002100f', 'hex'));
  await stranger.end();
  for (const { node } of [...nodes, origin]) await node.close();

  for (const name of ['a', 'b', 'c', 'origin']) {
    const { status, says } = replay(file(name));
    t.is(status, 0, says);
    t.regex(says, /^\d+ steps without difference; end of the recording: stopped\n$/);
    t.is(statSync(file(name)).mode & 0o777, 0o600);
  }
  const lines = readFileSync(file('a'), 'utf8').split('\n');
  t.true(lines.length > 60, `${lines.length} steps`);
  t.false(lines.join('').includes(blob.data.subarray(0, 64).toString('hex')), 'no content');

  const at = lines.findIndex((line) => line.includes('"type":"piece-stored"'));
  const write = (name: string, changed: readonly string[]): string => {
    writeFileSync(file(name), changed.join('\n'));
    return file(name);
  };
  const altered = replay(write('altered', lines.with(at, (lines[at] ?? '').replace('"ok"', '"bad-sum"'))));
  t.is(altered.status, 1);
  const told = altered.says.split('\n');
  t.regex(told[0] ?? '', new RegExp(`^step ${at} at [0-9.]+ ms differs$`));
  t.regex(told[1] ?? '', /^event {5}\{"type":"piece-stored".*"verdict":"bad-sum"\}$/);
  t.regex(told[2] ?? '', /^expected {2}.*observe.* \([0-9a-f]{16}\)$/);
  t.regex(told[3] ?? '', /^got {7}.* \([0-9a-f]{16}\)$/);
  t.true(altered.says.includes('piece-rejected'));

  t.regex(replay(write('killed', lines.slice(0, 20))).says, /19 steps without difference.*was killed/);
  t.regex(replay(write('cut', [...lines.slice(0, 20), (lines[20] ?? '').slice(0, 30)])).says, /19 steps.*broken off/);
  const gap = replay(write('gap', lines.toSpliced(30, 1)));
  t.is(gap.status, 2);
  t.regex(gap.says, /line 31: .*expected step 30/);
  t.is(replay(write('other', ['{}'])).status, 2);
  t.is(replay(write('empty', [])).status, 2);
  t.is(replay(file('none')).status, 2);
});

function warnings(): Logger & { readonly said: string[] } {
  const said: string[] = [];
  const note = (_fields: object, message: string): void => void said.push(message);
  return { ...silentLogger, said, warn: note, error: note };
}

test('a full recording ends with a line that says so, and the node goes on', async (t) => {
  const path = join(await tempDir(t), 'small');
  const tracker = new MemoryTracker();
  const blob = testBlob(MIB, 16 * 1024);
  await startOrigin(t, tracker, blob);
  const logger = warnings();
  const { node } = await startNode(t, { tracker, logger, record: { path, sizeLimitBytes: 8000 } });
  await node.download(blob.digest, { deadlineMs: 20_000 });
  t.true(logger.said.includes('recording: the file is full and ends'));
  const text = readFileSync(path, 'utf8');
  t.true(text.length <= 8000);
  t.true(text.endsWith('\n{"end":"limit"}\n'));
  const { status, says } = replay(path);
  t.is(status, 0, says);
  t.regex(says, /end of the recording: limit/);
});

test('lines reach the file soon, batches at once; the file of the last run is kept', async (t) => {
  const path = join(await tempDir(t), 'lines');
  const clock = new ManualClock();
  const file = openRecordingFile({ path }, silentLogger, clock);
  file.append('first');
  t.is(readFileSync(path, 'utf8'), '');
  clock.advance(200);
  t.is(readFileSync(path, 'utf8'), 'first\n');
  file.append('é'.repeat(40_000));
  t.is(statSync(path).size, 6 + 80_001);
  file.append('last');
  file.close();
  file.close();
  t.false(file.append('too late'));
  t.true(readFileSync(path, 'utf8').endsWith('\nlast\n'));

  openRecordingFile({ path }, silentLogger, clock).close();
  t.is(readFileSync(path, 'utf8'), '');
  t.true(readFileSync(`${path}.previous`, 'utf8').startsWith('first\n'));
  const nowhere = t.throws(() => openRecordingFile({ path: join(path, 'x') }, silentLogger, clock));
  t.true(isKrakenError(nowhere, 'config-invalid'));
});

test('a process that dies of an error leaves its last lines', async (t) => {
  const path = join(await tempDir(t), 'dying');
  const module = new URL('../dist/host/recording-file.js', import.meta.url).href;
  const code = `
    import { openRecordingFile } from ${JSON.stringify(module)};
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const clock = { now: () => 0, after: () => () => undefined };
    const file = openRecordingFile({ path: ${JSON.stringify(path)} }, log, clock);
    file.append('the last step');
    setImmediate(() => { throw new Error('bug'); });`;
  const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  t.not(status, 0);
  t.is(readFileSync(path, 'utf8'), 'the last step\n');
});

test('a node that cannot be made leaves no open recording behind', async (t) => {
  const path = join(await tempDir(t), 'never');
  const before = process.listenerCount('exit');
  await t.throwsAsync(startNode(t, { record: { path }, swarm: { pieceChoice: 'none' } }));
  t.true(await eventually(() => process.listenerCount('exit') === before));
});
