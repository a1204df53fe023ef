import { DfdbError } from "../base/errors.ts";
import type { Setting } from "../engine/collection_settings.ts";
import { schemaViolations } from "../engine/schema_violations.ts";
import type { TaskContext } from "../runtime/workers.ts";
import { viewFile } from "../storage/sqlite/read_file.ts";

export interface SchemaInput {
  readonly path: string;
  readonly schema: Setting;
}

/**
 * Task: counts the documents that do not meet a schema, in one read transaction; null: this version cannot read it. Throws `closing` when
 * it was stopped, `data_corrupt`, `io_error`.
 */
export function countSchemaViolations({ path, schema }: SchemaInput, context: TaskContext): number | null {
  return context.hold(() =>
    viewFile(path, (view) => {
      const steps = schemaViolations(view, schema);
      for (;;) {
        if (context.stopped) throw new DfdbError("closing", "looking through the documents was given up");
        const step = steps.next();
        if (step.done === true) return step.value;
      }
    })
  );
}
