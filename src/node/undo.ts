/** What to do to stop, last first; each step is awaited before the next. */
export type Undo = () => void | Promise<void>;

/** Runs every step, also after one that throws (the locks come last); then throws the first error. */
export async function unwind(undo: Undo[]): Promise<void> {
  const errors: unknown[] = [];
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
