/** Names are compared in this form. */
export function foldName(name: string): string {
  return name.toLowerCase();
}
