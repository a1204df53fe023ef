/** Labels of a re-sync, in the order in which they are met; those of the tasks are storage's `snapshotCrashPoints`. */
export const resyncCrashPoints = [
  // rescue as text: the file is durable under its temporary name / under its own
  "rescue:written",
  "rescue:kept",
  // rescue of the whole database: copied / its description is durable too / under its own name
  "rescue:copied",
  "rescue:described",
  "rescue:whole",
  // receiving: a snapshot is begun or gone on with / a piece is written / all of it is durable
  "incoming:begun",
  "incoming:piece",
  "incoming:whole",
  // installing: found sound / in the live file / its own file is deleted
  "incoming:checked",
  "incoming:installed",
  "incoming:discarded",
] as const;
