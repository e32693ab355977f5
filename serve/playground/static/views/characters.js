/** The characters of a text as the service counts them: JavaScript would count an emoji as two. */
export function characters(text) {
  return Array.from(text);
}
