/** Decisions of build-index: tag names, tag types, remotes, policies and the order of dependencies. */
import test from 'ava';
import fc from 'fast-check';
import {
  createRemotes,
  createTagTypes,
  decidePut,
  DEFAULT_NEIGHBOUR_STAGGER_MS,
  DependencyWalk,
  neighbourDelays,
  parseTagName,
  splitTagName,
  type TagTypeRule,
} from '../dist/build-index/index.js';
import type { Digest } from '../dist/content/index.js';
import { isKrakenError } from '../dist/errors/index.js';
import { readVectors } from './vector-files.js';

const digest = (n: number): Digest => `sha256:${n.toString(16).padStart(64, '0')}` as Digest;

test('names that stay in their folder are tags, others are refused', (t) => {
  const good = [
    'library/alpine:latest',
    'simple:1',
    'a b/c:d',
    'répo:1',
    'x%2Fy:1',
    'no-colon',
    '...',
    'a/..b:1',
    'x'.repeat(255),
  ];
  for (const name of good) t.is(parseTagName(name), name as never);
  const bad = [
    '',
    '.',
    '..',
    'a/..',
    '../a',
    'a/./b:1',
    '/a:1',
    'a:1/',
    'a//b:1',
    'a\\b:1',
    'a\0:1',
    'a\n:1',
    'a\x7f:1',
    'x'.repeat(256),
    'é'.repeat(128),
    'a/'.repeat(600),
  ];
  for (const name of bad)
    t.true(
      isKrakenError(
        t.throws(() => parseTagName(name)),
        'tag-invalid',
      ),
      JSON.stringify(name.slice(0, 20)),
    );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('.', '/', 'a', ':', '\\', '\0') }), (name) => {
      try {
        parseTagName(name);
      } catch (error) {
        return isKrakenError(error, 'tag-invalid');
      }
      return !/[\\\0]/.test(name) && !name.split('/').some((part) => part === '..' || part === '.' || part === '');
    }),
  );
});

test('a container tag splits at its single colon', (t) => {
  t.deepEqual(splitTagName('a/b:1'), { repository: 'a/b', tag: '1' });
  t.is(splitTagName('a/b'), undefined);
  t.is(splitTagName('a:b:c'), undefined);
});

interface TagTypeCase {
  readonly kind: string;
  readonly config: string | readonly TagTypeRule[];
  readonly tag: string;
  readonly error: string | null;
  readonly dependencies: readonly string[] | null;
}

test('tag types: Go’s configurations and choices', (t) => {
  const { cases } = readVectors('registry') as { cases: readonly TagTypeCase[] };
  const configs = cases.filter(({ kind }) => kind === 'tag_types_config');
  t.is(configs.length, 5);
  for (const { config } of configs) {
    // Written as Go prints it: `[{.* nope}]`.
    const rules = Array.from((config as string).matchAll(/\{(\S+) (\S*)\}/g), ([, namespace = '', type = '']) => ({
      namespace,
      type,
    }));
    t.true(
      isKrakenError(
        t.throws(() => createTagTypes(rules)),
        'config-invalid',
      ),
      JSON.stringify(config),
    );
  }
  const resolved = cases.filter(({ kind }) => kind === 'tag_types_resolve');
  t.is(resolved.length, 4);
  for (const { config, tag, error, dependencies } of resolved) {
    const types = createTagTypes(config as readonly TagTypeRule[]);
    if (error === null) t.is(types.typeOf(tag), dependencies?.length === 1 ? 'default' : 'docker', tag);
    else t.is(t.throws(() => types.typeOf(tag)).message, error, tag);
  }
  t.is(
    createTagTypes([{ namespace: '(?i)LIB', type: 'docker' }]).typeOf('lib/x:1'),
    'docker',
    'flags in front, as RE2 has them',
  );
});

test('remotes: every match once, and tasks that are not wanted any more', (t) => {
  const remotes = createRemotes({ 'b:1': ['^test/', 'alpine'], 'a:1': ['library/.*'] });
  t.deepEqual(remotes.matching('test/alpine:1'), ['b:1']);
  t.deepEqual(remotes.matching('library/alpine:1'), ['a:1', 'b:1']);
  t.true(remotes.wants('library/x:1', 'a:1'));
  t.false(remotes.wants('library/x:1', 'gone:1'));
  t.true(
    isKrakenError(
      t.throws(() => createRemotes({ 'a:1': ['('] })),
      'config-invalid',
    ),
  );
  t.deepEqual(neighbourDelays(['x:1', 'y:1'], DEFAULT_NEIGHBOUR_STAGGER_MS), [
    { host: 'x:1', delayMs: 1_200_000 },
    { host: 'y:1', delayMs: 2_400_000 },
  ]);
});

test('policies decide a put', (t) => {
  const policies = ['mutable', 'immutable', 'first-write-wins'] as const;
  t.deepEqual(
    policies.map((policy) => [
      decidePut(policy, undefined, 'n'),
      decidePut(policy, 'n', 'n'),
      decidePut(policy, 'o', 'n'),
    ]),
    [
      ['store', 'keep', 'store'],
      ['store', 'keep', 'conflict'],
      ['store', 'keep', 'keep'],
    ],
  );
});

test('dependencies: contents before the manifest that names them, the root last, each once', (t) => {
  const walk = new DependencyWalk(digest(1));
  t.deepEqual(walk.wanted, [digest(1)]);
  walk.add(digest(1), { manifests: [digest(2), digest(3), digest(2)], blobs: [] });
  t.deepEqual(walk.wanted, [digest(2), digest(3)]);
  walk.add(digest(3), { manifests: [], blobs: [digest(30), digest(9)] });
  walk.add(digest(2), { manifests: [], blobs: [digest(20), digest(9)] });
  walk.add(digest(99), { manifests: [digest(98)], blobs: [] });
  t.deepEqual(walk.wanted, [], 'a manifest that nobody wanted is ignored');
  t.deepEqual(walk.dependencies(), [20, 9, 2, 30, 3, 1].map(digest));
  t.deepEqual(new DependencyWalk(digest(5)).dependencies(), [digest(5)]);
});

test('dependencies: any graph gives every digest once, children first', (t) => {
  // Edges go to higher numbers, as digests cannot form cycles.
  const graph = fc.array(fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(graph, (offsets) => {
      const walk = new DependencyWalk(digest(0));
      const edges = new Map<Digest, Digest[]>();
      for (let wanted = walk.wanted; wanted.length > 0; wanted = walk.wanted) {
        for (const each of wanted) {
          const n = Number.parseInt(each.slice(7), 16);
          const manifests = (offsets[n] ?? [])
            .map((offset) => digest(n + offset))
            .filter((child) => Number.parseInt(child.slice(7), 16) < offsets.length);
          edges.set(each, manifests);
          walk.add(each, { manifests, blobs: [] });
        }
      }
      const order = walk.dependencies();
      const at = new Map(order.map((each, index) => [each, index]));
      return (
        order.length === edges.size &&
        order.at(-1) === digest(0) &&
        [...edges].every(([parent, children]) =>
          children.every((child) => (at.get(child) ?? Infinity) < (at.get(parent) ?? -1)),
        )
      );
    }),
  );
  t.pass();
});

test('dependencies: nesting and numbers have limits', (t) => {
  const deep = new DependencyWalk(digest(0));
  const error = t.throws(() => {
    for (let n = 0; n < 20; n++) deep.add(digest(n), { manifests: [digest(n + 1)], blobs: [] });
  });
  t.true(isKrakenError(error, 'manifest-invalid'));
  const wide = new DependencyWalk(digest(0));
  const many = Array.from({ length: 2000 }, (_, n) => digest(n + 1));
  t.true(
    isKrakenError(
      t.throws(() => wide.add(digest(0), { manifests: many, blobs: [] })),
      'manifest-invalid',
    ),
  );
});
