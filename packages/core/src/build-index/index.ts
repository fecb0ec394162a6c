export { DependencyWalk, type ManifestLinks } from './dependency-walk.js';
export { createRemotes, DEFAULT_NEIGHBOUR_STAGGER_MS, neighbourDelays, type Remotes } from './remotes.js';
export { parseTagName, splitTagName, type TagName } from './tag-name.js';
export { decidePut, type PutDecision, type TagPolicy } from './tag-policy.js';
export { createTagTypes, type TagType, type TagTypeRule, type TagTypes } from './tag-types.js';
