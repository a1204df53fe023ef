/** A sum over lines of text: FNV-1a, two of them with different seeds. */
export class StepHash {
  #a = 0x811c9dc5;
  #b = 0x01234567;
  lines = 0;

  add(line: string): void {
    let a = this.#a, b = this.#b;
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i);
      a = Math.imul(a ^ code, 0x01000193);
      b = Math.imul(b ^ code, 0x01000193) + 1;
    }
    this.#a = a >>> 0;
    this.#b = b >>> 0;
    this.lines++;
  }

  get text(): string {
    const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, "0");
    return `${hex(this.#a)}${hex(this.#b)} ${this.lines}`;
  }
}
