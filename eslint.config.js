import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['**/dist/**', '**/dist-test/**', '**/node_modules/**', '**/fixtures/**', 'docs/api/**', 'coverage/**'] },
  ...tseslint.configs.strictTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true, allowNullish: true }],
      // Its fixes fight with the formatter's and with arrow shorthands.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // `loadConfig<AgentConfig>(…)`: the caller names the type that the schema stands for.
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      'max-lines': ['error', { max: 500, skipBlankLines: true }],
      'no-console': 'error',
    },
  },
  {
    files: ['packages/core/src/**/*.ts'],
    rules: {
      'no-restricted-globals': ['error', 'Date', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'performance', 'crypto', 'process', 'Buffer', 'fetch'],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: 'Use Random (seeded).' }],
      'no-restricted-syntax': [
        'error',
        { selector: ':function[async=true]', message: 'core is synchronous.' },
        { selector: 'NewExpression[callee.name="Promise"]', message: 'core is synchronous.' },
        { selector: 'MemberExpression[object.name="Math"][property.name=/^(log|exp|sin|cos|tan|pow|cbrt|sinh|cosh|tanh)/]', message: 'Engines may differ in the last bit.' },
      ],
    },
  },
  { files: ['packages/core/src/ring/**/*.ts'], rules: { 'no-restricted-syntax': 'off' } },
  { files: ['**/test/**/*.ts'], rules: { 'no-console': 'off', '@typescript-eslint/no-non-null-assertion': 'off', 'max-lines': ['error', { max: 600, skipBlankLines: true }] } },
  { files: ['**/*.js', '**/*.mjs', '**/*.cjs'], ...tseslint.configs.disableTypeChecked },
  { files: ['**/*.cjs'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  { files: ['scripts/**', '.ci/**', 'examples/**', 'benchmarks/**', 'packages/reference-server/src/cli/**'], rules: { 'no-console': 'off' } },
);
