#!/usr/bin/env node
'use strict';
const { loadCommand } = require('./entry.cjs');

void loadCommand().then(async ({ main }) => {
  process.exitCode = await main(process.argv.slice(2));
});
