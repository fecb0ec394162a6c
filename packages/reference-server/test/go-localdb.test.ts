import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { isKrakenError } from '@kraken/core/errors';
import { pendingTasksOf } from '../dist/roles/go-localdb.js';

function inDirectory<T>(use: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'kraken-localdb-'));
  try {
    return use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Three write-back rows (two failed, one pending) and one replication, made by SQLite 3.40 with Kraken's schema. */
const fixture = (): Buffer =>
  Buffer.from(readFileSync(new URL('../test/fixtures/go-localdb.base64', import.meta.url), 'utf8'), 'base64');

const refused = (file: string): string | undefined => {
  try {
    pendingTasksOf(file);
    return undefined;
  } catch (error) {
    if (isKrakenError(error, 'config-invalid')) return error.message;
    throw error;
  }
};

test('a database with tasks is counted, and not touched', (t) => {
  inDirectory((dir) => {
    const file = join(dir, 'origin.db');
    writeFileSync(file, fixture());
    t.deepEqual(pendingTasksOf(file), { writeback: 3, replicateTag: 1 });
    t.deepEqual(readFileSync(file), fixture());
  });
});

test('no file and an empty file mean that there was no Go node', (t) => {
  inDirectory((dir) => {
    t.is(pendingTasksOf(join(dir, 'none.db')), undefined);
    writeFileSync(join(dir, 'empty.db'), '');
    t.is(pendingTasksOf(join(dir, 'empty.db')), undefined);
  });
});

test('what is no SQLite database is refused by name', (t) => {
  inDirectory((dir) => {
    const file = join(dir, 'origin.db');
    writeFileSync(file, 'writeback: none\n');
    t.is(refused(file), `localdb.source: ${file}: is not an SQLite 3 database`);
    writeFileSync(file, Buffer.alloc(8192));
    t.regex(refused(file) ?? '', /is not an SQLite 3 database/);
    mkdirSync(join(dir, 'directory'));
    t.regex(refused(join(dir, 'directory')) ?? '', /directory: cannot be read/);
    t.regex(refused(join(file, 'below')) ?? '', /below: cannot be opened/);
  });
});

test('a database that was cut off in a transaction is refused: its file is not what was committed', (t) => {
  inDirectory((dir) => {
    const file = join(dir, 'origin.db');
    writeFileSync(file, fixture());
    writeFileSync(`${file}-journal`, Buffer.concat([Buffer.from('d9d505f920a163d7', 'hex'), Buffer.alloc(504)]));
    t.regex(refused(file) ?? '', /middle of a transaction .*-journal.*Go binary/);
    // What a finished transaction may leave: a journal whose head is zeros, or an empty one.
    writeFileSync(`${file}-journal`, Buffer.alloc(512));
    t.is(refused(file), undefined);
    writeFileSync(`${file}-journal`, '');
    t.is(refused(file), undefined);
    writeFileSync(`${file}-wal`, Buffer.alloc(32));
    t.regex(refused(file) ?? '', /changes outside the file .*-wal/);
  });
});

test('damage is refused, never a crash and never a wrong kind of error', (t) => {
  inDirectory((dir) => {
    const file = join(dir, 'origin.db');
    const whole = fixture();
    const pageBytes = whole.readUInt16BE(16);
    for (const length of [99, 100, 512, pageBytes, whole.length - pageBytes]) {
      writeFileSync(file, whole.subarray(0, length));
      t.regex(refused(file) ?? '', /origin\.db: is (?:damaged|not an SQLite)/, `cut to ${length} bytes`);
    }
    const flip = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }));
    let refusals = 0;
    fc.assert(
      fc.property(fc.array(flip, { minLength: 1, maxLength: 40 }), (flips) => {
        const bytes = Buffer.from(whole);
        for (const [at, mask] of flips) bytes.writeUInt8(bytes.readUInt8(at) ^ mask, at);
        writeFileSync(file, bytes);
        if (refused(file) !== undefined) refusals += 1;
      }),
      { numRuns: 400, seed: 11 },
    );
    t.true(refusals > 0);
  });
});

test('a b-tree that points at itself ends', (t) => {
  inDirectory((dir) => {
    const file = join(dir, 'origin.db');
    const bytes = Buffer.alloc(1024);
    bytes.write('SQLite format 3\0', 'latin1');
    bytes.writeUInt16BE(1024, 16);
    bytes.set([1, 1, 0, 64, 32, 32], 18);
    bytes.writeUInt32BE(1, 56);
    bytes.writeUInt8(0x05, 100);
    bytes.writeUInt32BE(1, 108);
    writeFileSync(file, bytes);
    t.regex(refused(file) ?? '', /damaged: page 1 has two parents/);
  });
});

/** Kraken's migrations, run by the real SQLite. Arguments: file, page size, write-back rows, replication rows. */
const MAKE_DATABASE = `
import sqlite3, sys
file, page, writeback, replicate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
db = sqlite3.connect(file)
db.execute('PRAGMA page_size = %d' % page)
db.execute('''CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL,
  is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')))''')
db.execute('''CREATE TABLE IF NOT EXISTS replicate_tag_task (
  tag text NOT NULL, digest blob NOT NULL, dependencies blob NOT NULL, destination text NOT NULL,
  created_at timestamp DEFAULT CURRENT_TIMESTAMP, last_attempt timestamp NOT NULL, status text NOT NULL,
  failures integer NOT NULL, delay integer NOT NULL, PRIMARY KEY(tag, destination))''')
db.execute('''CREATE TABLE IF NOT EXISTS writeback_task (
  namespace text NOT NULL, name text NOT NULL, created_at timestamp DEFAULT CURRENT_TIMESTAMP,
  last_attempt timestamp NOT NULL, status text NOT NULL, failures integer NOT NULL, delay integer NOT NULL,
  PRIMARY KEY(namespace, name))''')
for column in ('trace_id', 'span_id', 'trace_flags'):
  db.execute("ALTER TABLE writeback_task ADD COLUMN %s text DEFAULT ''" % column)
never = '0001-01-01 00:00:00+00:00'
for i in range(writeback):
  db.execute('INSERT INTO writeback_task (namespace, name, last_attempt, status, failures, delay) VALUES (?,?,?,?,?,?)',
    ('library/app-%d' % (i % 7), '%064x' % i, never, 'failed' if i % 2 == 0 else 'pending', i % 3, 0))
for i in range(replicate):
  # Dependencies of a big image do not fit into one page.
  deps = '[' + ','.join('"sha256:%064x"' % d for d in range(i % 120)) + ']'
  db.execute('INSERT INTO replicate_tag_task (tag, digest, dependencies, destination, last_attempt, status, failures, delay) VALUES (?,?,?,?,?,?,?,?)',
    ('library/app:%d' % i, '"sha256:%064x"' % i, deps, 'index.zone-b:443', never, 'failed', 1, 1200000000000))
db.commit()
if writeback >= 5000:
  # Done tasks leave holes and free pages.
  db.execute('DELETE FROM writeback_task WHERE rowid % 2 = 0')
  db.commit()
db.close()
`;

const python = ((): string | undefined => {
  const found = spawnSync('python3', ['-c', 'import sqlite3'], { stdio: 'ignore' }).status === 0;
  return found ? 'python3' : undefined;
})();

for (const [pageBytes, writebackRows, replicateRows] of [
  [4096, 0, 0],
  [4096, 3, 0],
  [4096, 0, 3],
  [4096, 5000, 5000],
  [1024, 3, 5000],
  [65_536, 5000, 3],
] as const) {
  test(`real databases: pages of ${pageBytes} bytes, ${writebackRows} + ${replicateRows} rows`, (t) => {
    if (python === undefined) {
      const reason = 'python3 with its sqlite3 module is not installed';
      if (process.env['CI'] === 'true') t.fail(reason);
      else t.log(`skipped: ${reason}`);
      t.pass();
      return;
    }
    inDirectory((dir) => {
      const file = join(dir, 'origin.db');
      const args = [file, pageBytes, writebackRows, replicateRows].map(String);
      const made = spawnSync(python, ['-c', MAKE_DATABASE, ...args], { encoding: 'utf8' });
      t.is(made.status, 0, made.stderr);
      const left = writebackRows >= 5000 ? writebackRows / 2 : writebackRows;
      t.deepEqual(pendingTasksOf(file), { writeback: left, replicateTag: replicateRows });
    });
  });
}
