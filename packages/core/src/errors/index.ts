export { ERRORS, type ErrorCode, type ErrorEntry, type ErrorKind, type OciErrorCode, type Retry } from './catalogue.js';
export { asKrakenError, assert, isKrakenError, KrakenError, unreachable } from './kraken-error.js';
