#!/usr/bin/env node
'use strict';
const { loadCommand } = require('./entry.cjs');

// As Node does it for a module: an end before the command's own is a failure.
process.exitCode = 13;
void loadCommand().then(async ({ main }) => {
  process.exitCode = await main(process.argv.slice(2));
});
