// Starts peer.mjs, out of a bundle if there is one: as the server is shipped. Arguments: the directory above the bundle, the
// module, what peer.mjs is told.
'use strict';
const { loadCommand } = require('../../packages/reference-server/bin/entry.cjs');

const [, , dist, peer, ...args] = process.argv;
void loadCommand(dist, peer).then(({ main }) => main(args));
