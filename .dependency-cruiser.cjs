/** Import rules: a star around core, and who may see whom inside core. Run by `npm run rules`. */
const core = (folders) => `^packages/core/src/(${folders.join('|')})/`;
const values = ['content', 'wire', 'errors', 'random', 'http', 'oci', 'ring', 'ports', 'machine'];
const machines = ['swarm', 'tracker', 'origin', 'build-index', 'retry', 'sim'];
const machineRules = ['swarm', 'tracker', 'origin', 'build-index', 'retry'].map((name) => ({
  name: `core-${name}-knows-no-other-machine`,
  severity: 'error',
  from: { path: core([name]) },
  to: { path: core(machines.filter((other) => other !== name)) },
}));
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
    {
      name: 'core-is-pure',
      comment: 'core imports nothing but its two value libraries',
      severity: 'error',
      from: { path: '^packages/core/src/' },
      to: { pathNot: ['^packages/core/src/', '(^|/)node_modules/@noble/hashes/', '(^|/)node_modules/@bufbuild/protobuf/'] },
    },
    { name: 'core-values-know-no-machine', severity: 'error', from: { path: core(values) }, to: { path: core([...machines, 'policy']), dependencyTypesNot: ['type-only'] } },
    { name: 'core-policies-know-no-machine', severity: 'error', from: { path: core(['policy']) }, to: { path: core(machines) } },
    ...machineRules,
    ...['p2p', 'backends', 'registry-http'].map((name) => ({
      name: `${name}-knows-no-sibling`,
      severity: 'error',
      from: { path: `^packages/${name}/src/` },
      to: { path: `^packages/(?!core/|${name}/)` },
    })),
    { name: 'no-deep-imports', comment: 'other packages are imported through their exports', severity: 'error', from: { path: '^packages/([^/]+)/src/' }, to: { path: '^packages/([^/]+)/src/', pathNot: '^packages/$1/src/' } },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: ['node_modules', 'dist'] },
    exclude: { path: ['/dist-test/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
