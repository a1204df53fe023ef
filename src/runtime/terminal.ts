/** Standard input, and whether people or programs are at the ends of the process. */
export interface Terminal {
  readonly stdinIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** False once whoever read standard output has gone: what is written is lost. */
  readonly stdoutIsOpen: boolean;
  /** Bytes of standard input as they come, to its end; to be read once. Throws DfdbError `io_error`. */
  stdin(): AsyncIterable<Uint8Array>;
  /** Takes standard input over, for lines that a person edits; only where it is a terminal. */
  editLines(options: LineEditorOptions): LineEditor;
}

export interface LineEditorOptions {
  /** Lines that the arrow keys bring back, newest first. */
  readonly history: readonly string[];
  readonly historyMax: number;
}

export interface LineEditor {
  /** Asks for a line. One call at a time. */
  line(prompt: string): Promise<EditedLine>;
  /** Calls `run` at every ^C while no line is asked for, until the returned function is called. */
  onInterrupt(run: () => void): () => void;
  /** Gives standard input back. */
  close(): void;
}

/** `interrupt`: ^C, what was typed is dropped. `end`: ^D, or the input has ended; every further call answers so too. */
export type EditedLine =
  | { readonly kind: "line"; readonly text: string }
  | { readonly kind: "interrupt" }
  | { readonly kind: "end" };
