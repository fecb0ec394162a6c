/**
 * Strings that keep nothing else alive. Engines make a part of a string point into the whole, and a concatenation to its parts:
 * quick to make, but a name of 40 characters that is kept would hold on to the body or address it came with.
 */

/** `text`, in memory of its own but for a space. */
export function detached<Text extends string>(text: Text): Text {
  return flat(` ${text}`).slice(1) as Text;
}

/** As one string: smaller than a tree of parts and quicker to copy. */
export function flat(text: string): string {
  text.charCodeAt(0);
  return text;
}
