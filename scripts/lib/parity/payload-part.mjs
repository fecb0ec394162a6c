/** Part of a limit that the shipping limiter gives to payloads; a simulated card carries that much. */
export const PAYLOAD_PART = 0.99;
