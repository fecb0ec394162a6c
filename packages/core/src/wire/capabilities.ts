/**
 * What a peer says of itself in `version` (field 1 of the envelope; Go neither sets nor reads it): the name of the protocol,
 * then capabilities, separated by spaces. Unknown ones are ignored.
 */

/** The peer hands out piece layers and understands the messages about them. */
export const LAYER_CAPABILITY = 'layer';

/** Whether `version`, as a handshake carried it, names `capability`. */
export function hasCapability(version: string, capability: string): boolean {
  return version.split(' ').includes(capability, 1);
}
