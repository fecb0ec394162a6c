/** Totals of one node, counted where things happen. Plain numbers; never reset. */
export class HostCounters {
  /** Payload bytes that came in, also of payloads that were dropped. */
  payloadBytesIn = 0;
  /** Payload bytes that were written to sockets. */
  payloadBytesOut = 0;
  /** Frames that came in, handshakes included. */
  framesIn = 0;
  /** Frames that were given to sockets. */
  framesOut = 0;
  /** Frames and handshakes that ended their connection. */
  malformedFrames = 0;
  /** Sockets that were accepted. */
  accepted = 0;
  /** Accepted sockets that were dropped because a limit was reached. */
  refusedAtLimit = 0;
  /** Dials that were begun. */
  dialled = 0;
  /** Errors of the listening socket while it listened (no descriptors left, for instance). */
  acceptErrors = 0;
  /** TLS handshakes with peers that ended well, both directions. */
  tlsSessions = 0;
  /** Connections that transport security refused, both directions. */
  tlsRefused = 0;
  /** Dials that were repeated without TLS, because the peer does not speak it. */
  tlsFallbacks = 0;
}
