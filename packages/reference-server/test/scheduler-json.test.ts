import test from 'ava';
import fc from 'fast-check';
import { isKrakenError } from '@kraken/core/errors';
import { DEFAULT_SWARM_CONFIG } from '@kraken/core/swarm';
import { schedulerFromGoJson, swarmConfigFromGoJson } from '../dist/config/scheduler-json.js';
import { scheduler as schedulerField } from '../dist/config/shared-keys.js';

/** Every field of Go's structure, each with a value of its own, as Go's `reload` tool sends it. */
const WHOLE_GO_BODY = {
  SeederTTI: 60_000_000_000,
  LeecherTTI: 61_000_000_000,
  ConnTTI: 62_000_000_000,
  ConnTTL: 63_000_000_000,
  PreemptionInterval: 64_000_000_000,
  EmitStatsInterval: 65_000_000_000,
  DisablePreemption: true,
  ProbeTimeout: 66_000_000_000,
  ConnState: {
    MaxOpenConnectionsPerTorrent: 21,
    MaxMutualConnections: 22,
    DisableBlacklist: true,
    BlacklistDuration: 67_000_000_000,
  },
  Conn: {
    HandshakeTimeout: 1_500_000,
    SenderBufferSize: 10_000,
    ReceiverBufferSize: 10_000,
    Bandwidth: { EgressBitsPerSec: 8_000, IngressBitsPerSec: 16_000, TokenSize: 8, Enable: true },
  },
  Dispatch: {
    PieceRequestMinTimeout: 68_000_000_000,
    PieceRequestTimeoutPerMb: 69_000_000_000,
    PieceRequestPolicy: 'default',
    AgentPipelineLimit: 23,
    OriginPipelineLimit: 24,
    EndgameThreshold: 25,
    DisableEndgame: true,
  },
  TorrentLog: { Level: 'info', Disable: true, ServiceName: '', Path: '', Encoding: '' },
  Log: { Level: 'info', Disable: false, ServiceName: '', Path: '', Encoding: '' },
};

test('every field of Go’s body reaches its setting, nanoseconds become milliseconds and bits bytes', (t) => {
  const { swarm, bandwidth, ignored } = swarmConfigFromGoJson(WHOLE_GO_BODY);
  t.like(swarm, {
    seederIdleMs: 60_000,
    leecherIdleMs: 61_000,
    connectionIdleMs: 62_000,
    connectionAgeMs: 63_000,
    preemptionIntervalMs: 64_000,
    preemptionDisabled: true,
    connectionsPerTorrentMax: 21,
    mutualConnectionsMax: 22,
    blacklistDisabled: true,
    blacklistMs: 67_000,
    handshakeTimeoutMs: 1.5,
    requestTimeoutMinMs: 68_000,
    requestTimeoutPerMiBMs: 69_000,
    pieceChoice: 'default',
    pipelineLimit: 23,
    originPipelineLimit: 24,
    endgameThreshold: 25,
    endgameDisabled: true,
  });
  t.deepEqual(bandwidth, { egressBytesPerSec: 1_000, ingressBytesPerSec: 2_000 });
  t.deepEqual([...ignored].sort(), [
    'Conn.Bandwidth.TokenSize',
    'Conn.ReceiverBufferSize',
    'Conn.SenderBufferSize',
    'EmitStatsInterval',
    'Log',
    'ProbeTimeout',
    'TorrentLog',
  ]);
});

test('every key of the scheduler block that has an effect has a Go name', (t) => {
  const { scheduler } = schedulerFromGoJson(WHOLE_GO_BODY);
  const defaults = schedulerFromGoJson({}).scheduler;
  const unreached: string[] = [];
  const walk = (kind: typeof schedulerField.kind, got: object, untouched: object, path: string): void => {
    for (const [name, field] of Object.entries(kind.fields)) {
      if ('ignored' in field) continue;
      const a = (got as Record<string, unknown>)[name];
      const b = (untouched as Record<string, unknown>)[name];
      if (field.kind.type === 'struct') walk(field.kind as never, a as object, b as object, `${path}${name}.`);
      else if (a === b) unreached.push(path + name);
    }
  };
  walk(schedulerField.kind, scheduler, defaults, '');
  t.deepEqual(unreached, ['swarm_policy'], 'ours: Go has no such field');
});

test('the swarm policy of Go agents can be had back', (t) => {
  const { swarm } = swarmConfigFromGoJson({ SwarmPolicy: 'kraken', ConnState: { MaxOpenConnectionsPerTorrent: 20 } });
  t.like(swarm, { pipelineLimit: 3, originPipelineLimit: 5, rotationIntervalMs: 0, dialsPerTorrentMax: 20 });
  t.is(swarmConfigFromGoJson({ ConnState: { MaxOpenConnectionsPerTorrent: 20 } }).swarm.dialsPerTorrentMax, 10);
  const error = t.throws(() => swarmConfigFromGoJson({ SwarmPolicy: 'best' }));
  t.true(isKrakenError(error, 'config-invalid'));
});

test('namespaces are weighted by a list, which Go does not have', (t) => {
  const body = (weights: unknown): object => ({ Conn: { Bandwidth: { Enable: true, NamespaceWeights: weights } } });
  const good = [
    { Namespace: '^prod/', Weight: 4 },
    { Namespace: 'test', Weight: 0.5 },
  ];
  t.deepEqual(swarmConfigFromGoJson(body(good)).bandwidth.namespaceWeights, [
    { namespace: '^prod/', weight: 4 },
    { namespace: 'test', weight: 0.5 },
  ]);
  t.is(swarmConfigFromGoJson(body([])).bandwidth.namespaceWeights, undefined);
  for (const bad of [[{ Namespace: 'a' }], [{ Namespace: '(', Weight: 1 }], [{ Namespace: 'a', Weight: -1 }]]) {
    t.true(
      isKrakenError(
        t.throws(() => swarmConfigFromGoJson(body(bad))),
        'config-invalid',
      ),
    );
  }
  for (const bad of ['a', [1], [{ Namespace: 'a', Weight: 'b' }]]) {
    t.true(
      isKrakenError(
        t.throws(() => swarmConfigFromGoJson(body(bad))),
        'request-invalid',
      ),
    );
  }
});

test('an empty body, and null, mean the defaults: nothing is kept from before', (t) => {
  for (const body of [{}, null, { Conn: null, Dispatch: {} }]) {
    const { swarm, bandwidth, ignored } = swarmConfigFromGoJson(body);
    t.deepEqual({ ...swarm, role: DEFAULT_SWARM_CONFIG.role }, DEFAULT_SWARM_CONFIG);
    t.deepEqual(bandwidth, {});
    t.deepEqual(ignored, []);
  }
});

test('derived settings follow what they derive from', (t) => {
  const { swarm } = swarmConfigFromGoJson({
    ConnState: { MaxOpenConnectionsPerTorrent: 4 },
    Dispatch: { AgentPipelineLimit: 7 },
  });
  t.is(swarm.mutualConnectionsMax, 4);
  t.is(swarm.endgameThreshold, 7);
});

test('field names match in any case; of repeated ones the last wins, and objects merge', (t) => {
  const { swarm } = swarmConfigFromGoJson({
    seedertti: 1e9,
    SEEDERTTI: 2e9,
    ConnState: { BlacklistDuration: 3e9 },
    connstate: { maxOpenConnectionsPerTorrent: 5, MaxMutualConnections: null },
  });
  t.is(swarm.seederIdleMs, 2_000);
  t.is(swarm.blacklistMs, 3_000);
  t.is(swarm.connectionsPerTorrentMax, 5);
});

test('unknown names and YAML names are ignored, as in Go, and reported', (t) => {
  const { swarm, ignored } = swarmConfigFromGoJson({
    seeder_tti: 1,
    Nonsense: {},
    ConnState: { max_open_conn: 1, MaxOpenConn: 2 },
    Dispatch: { PipelineLimit: 1 },
  });
  t.deepEqual(ignored, [
    'seeder_tti',
    'Nonsense',
    'ConnState.max_open_conn',
    'ConnState.MaxOpenConn',
    'Dispatch.PipelineLimit',
  ]);
  t.is(swarm.connectionsPerTorrentMax, 10);
  t.is(swarm.pipelineLimit, 0);
});

const refused = (value: unknown): Error => {
  try {
    swarmConfigFromGoJson(value);
  } catch (error) {
    if (isKrakenError(error, 'request-invalid')) return error;
    throw error;
  }
  throw new Error(`accepted ${JSON.stringify(value)}`);
};

test('wrong types are refused with every problem at once', (t) => {
  const { message } = refused({
    SeederTTI: '5m',
    ConnTTI: 1.5,
    ConnTTL: -1,
    LeecherTTI: 2 ** 63,
    DisablePreemption: 1,
    ConnState: [],
    Conn: { Bandwidth: { EgressBitsPerSec: -8 } },
    Dispatch: { PieceRequestPolicy: 'fastest' },
  });
  for (const part of [
    'SeederTTI: expected an integer number of nanoseconds ≥ 0, got "5m"',
    'ConnTTI:',
    'ConnTTL:',
    'LeecherTTI:',
    'DisablePreemption: expected true or false, got 1',
    'ConnState: expected an object, got a list',
    'Conn.Bandwidth.EgressBitsPerSec:',
    'Dispatch.PieceRequestPolicy: expected one of default, rarest_first, got "fastest"',
  ]) {
    t.true(message.includes(part), `${part} in ${message}`);
  }
  for (const body of [[], 'x', 1, true]) t.true(refused(body).message.includes('body: expected an object'));
});

test('any JSON is either settings or request-invalid', (t) => {
  const name = fc.constantFrom('SeederTTI', 'conn', 'Bandwidth', 'DISPATCH', 'PieceRequestPolicy', '__proto__', 'x');
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.dictionary(name, fc.dictionary(name, fc.jsonValue()))), (body) => {
      try {
        const { swarm } = swarmConfigFromGoJson(JSON.parse(JSON.stringify(body)));
        return Number.isFinite(swarm.seederIdleMs) && Object.keys(swarm).length > 20;
      } catch (error) {
        return isKrakenError(error, 'request-invalid');
      }
    }),
    { numRuns: 500, seed: 7 },
  );
  t.pass();
});
