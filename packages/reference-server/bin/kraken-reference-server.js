#!/usr/bin/env node
import { loadCommand } from './entry.js';

const { main } = await loadCommand();
process.exitCode = await main(process.argv.slice(2));
