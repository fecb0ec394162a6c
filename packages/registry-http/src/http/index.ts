export { withAccessLog } from './access-log.js';
export {
  addressList,
  createAccessPolicy,
  type AccessPolicy,
  type AccessPolicyOptions,
  type AccessRefusal,
} from './access.js';
export { bodyBytes, contentLength, readBody, sendBytes, type SendBytesOptions } from './body.js';
export {
  createHttpClient,
  upstreamFailure,
  type HttpClient,
  type HttpClientOptions,
  type HttpRequestOptions,
  type HttpResponse,
  type TlsClientOptions,
  type UpstreamFailure,
} from './client.js';
export { createRequestContext, splitTarget, type RequestContext } from './request-context.js';
export {
  errorHead,
  sendBuffer,
  sendEmpty,
  sendErrorText,
  sendJson,
  sendNotFound,
  sendText,
  type Exchanged,
} from './respond.js';
export {
  createRouter,
  type HttpHandler,
  type HttpMethod,
  type PathMatcher,
  type Route,
  type RouterOptions,
} from './router.js';
export { listenHttp, type ListeningServer, type ListenOptions, type TlsServerOptions } from './server.js';
export { answerFailure, runHandler, type ErrorResponder, type RunOptions } from './run-handler.js';
export { createRateLimiter, type RateLimiter, type RateLimitOptions } from './rate-limit.js';
