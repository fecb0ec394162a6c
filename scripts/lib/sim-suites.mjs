// The suites of the simulator that take too long for `npm test`; the slowest last.
const node = (name, limitSeconds, ...args) => ({ name, command: process.execPath, args, limitSeconds });

export const simSuites = [
  { ...node('simulator: same seeds, Node 20, 22 and 24', 300, 'scripts/node-versions.mjs'), tap: true },
  node('simulator: uber-260 keeps its bounds', 240, 'scripts/sim.mjs', '--scenario', 'uber-260', '--policy', 'default'),
  node('simulator: 200 drawn runs with faults', 480, 'scripts/sim.mjs', '--sweep', '200'),
];
