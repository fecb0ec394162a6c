/** Piece-choice policies as plain functions, and the rarity groups that they read. */
import test from 'ava';
import fc from 'fast-check';
import { PIECE_CHOICES, type PieceQuestion, type RarityGroups } from '@kraken/core/policy';
import { Random } from '@kraken/core/random';

/** A question over plain data: `counts` by piece, the candidates as a set. */
function question(counts: readonly number[], candidates: readonly number[], seed = 1, complete = false): PieceQuestion {
  const set = new Set(candidates);
  const groups: number[][] = [];
  counts.forEach((count, piece) => (groups[count] ??= []).push(piece));
  const rarity: RarityGroups = {
    groups: groups.length,
    groupSize: (g) => groups[g]?.length ?? 0,
    pieceAt: (g, i) => groups[g]![i]!,
    groupOf: (piece) => counts[piece]!,
  };
  return {
    words: Math.ceil(counts.length / 32),
    candidates: (w) =>
      candidates.reduce((mask, piece) => (piece >>> 5 === w ? mask | (1 << (piece & 31)) : mask), 0) >>> 0,
    isCandidate: (piece) => set.has(piece),
    lowestGroup: complete ? 0 : 1,
    rarity,
    random: new Random(seed),
  };
}

const drawn = fc
  .array(fc.nat(4), { minLength: 1, maxLength: 100 })
  .chain((counts) => fc.tuple(fc.constant(counts), fc.subarray([...counts.keys()]), fc.nat(), fc.boolean()));

for (const [name, choose] of Object.entries(PIECE_CHOICES)) {
  test(`${name}: answers a candidate when there is one, else -1`, (t) => {
    fc.assert(
      fc.property(drawn, ([counts, candidates, seed, complete]) => {
        const chosen = choose(question(counts, candidates, seed, complete));
        return candidates.length === 0 ? chosen === -1 : candidates.includes(chosen);
      }),
    );
    t.is(choose(question([], [])), -1);
  });

  test(`${name}: equal pieces are drawn at random, the same way for a seed`, (t) => {
    const counts = new Array<number>(64).fill(1);
    const all = [...counts.keys()];
    const draws = new Set<number>();
    for (let seed = 0; seed < 300; seed++) draws.add(choose(question(counts, all, seed)));
    t.true(draws.size > 50, `${draws.size} of 64 pieces were ever drawn`);
    t.is(choose(question(counts, all, 7)), choose(question(counts, all, 7)));
  });
}

for (const [name, choose] of Object.entries(PIECE_CHOICES)) {
  test(`${name}: no candidate among equal ones is favoured, also none beyond the first few`, (t) => {
    const counts = new Array<number>(64).fill(1);
    const all = [...counts.keys()];
    const asked = { ...question(counts, all), random: new Random(20_261_124) };
    const drawn = new Array<number>(64).fill(0);
    const draws = 6400;
    for (let i = 0; i < draws; i++) drawn[choose(asked)]!++;
    const chiSquare = drawn.reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0);
    t.true(chiSquare < 110, `${chiSquare} with 63 degrees of freedom`);
  });

  test(`${name}: a choice among a million pieces looks at few of them`, (t) => {
    const pieces = 2 ** 20;
    let looks = 0;
    const among = (groupSize: number): PieceQuestion => ({
      words: pieces / 32,
      candidates: () => (looks++, 0xffffffff),
      isCandidate: () => (looks++, true),
      lowestGroup: 1,
      rarity: {
        groups: 1 + pieces / groupSize,
        groupSize: (g) => (g === 0 ? 0 : groupSize),
        pieceAt: (g, i) => (looks++, (g - 1) * groupSize + i),
        groupOf: (piece) => (looks++, 1 + Math.floor(piece / groupSize)),
      },
      random: new Random(1),
    });
    for (const groupSize of [pieces, 1024, 1]) {
      looks = 0;
      t.true(choose(among(groupSize)) >= 0);
      t.true(looks <= 200, `${looks} looks`);
    }
  });
}

test('rarest_first: Go vector: counts 2, 3, 1, 0 and pieces 0, 1, 3 of a complete peer give 3, then 0', (t) => {
  const choose = PIECE_CHOICES['rarest_first']!;
  t.is(choose(question([2, 3, 1, 0], [0, 1, 3], 1, true)), 3);
  t.is(choose(question([2, 3, 1, 0], [0, 1], 1, true)), 0);
});

test('rarest_first: takes the rarest candidate of small groups', (t) => {
  const choose = PIECE_CHOICES['rarest_first']!;
  fc.assert(
    fc.property(
      fc
        .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 16 })
        .chain((counts) => fc.tuple(fc.constant(counts), fc.subarray([...counts.keys()], { minLength: 1 }), fc.nat())),
      ([counts, candidates, seed]) =>
        counts[choose(question(counts, candidates, seed))] === Math.min(...candidates.map((piece) => counts[piece]!)),
    ),
  );
  t.pass();
});

test('rarest_first: one candidate in a crowd is found, and a sample keeps to the rarer ones', (t) => {
  const choose = PIECE_CHOICES['rarest_first']!;
  const counts = new Array<number>(2000).fill(1);
  t.is(choose(question(counts, [1234], 3)), 1234);
  // 20 candidates among 2000 pieces: probes mostly miss, the sample then sees all of them.
  const mixed = counts.map((_, piece) => (piece % 100 === 0 ? 2 : 5));
  const candidates = [...mixed.keys()].filter((piece) => piece % 100 === 0 || piece % 100 === 1);
  const rare = candidates.filter((piece) => mixed[piece] === 2).length;
  t.is(rare, 20);
  for (let seed = 0; seed < 50; seed++) t.is(mixed[choose(question(mixed, candidates, seed))], 2);
});

test('default: does not look at rarity', (t) => {
  const choose = PIECE_CHOICES['default']!;
  const draws = new Set<number>();
  for (let seed = 0; seed < 100; seed++) draws.add(choose(question([1, 5, 9], [0, 1, 2], seed)));
  t.deepEqual([...draws].sort(), [0, 1, 2]);
});
