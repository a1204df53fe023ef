/** Shared memory of a run: whether the task may be cut now, and whether it should stop. */
const held = 1, stop = 2;

/** A cell in which nothing is held and nobody wants a stop. */
export const stopCell = (): Int32Array => new Int32Array(new SharedArrayBuffer(4));

/** Asks for a stop. True: nothing is held, nor will be; the thread may be ended now. */
export const requestStop = (cell: Int32Array): boolean => (Atomics.or(cell, 0, stop) & held) === 0;

/** True once a stop was asked for. */
export const stopRequested = (cell: Int32Array): boolean => (Atomics.load(cell, 0) & stop) !== 0;

/** Begins a stretch in which the thread is not ended; false when a stop came first. */
export const beginHold = (cell: Int32Array): boolean => (Atomics.or(cell, 0, held) & stop) === 0;

/** Ends that stretch. Who sees a stop after it must not go on: nobody else ends the thread. */
export const endHold = (cell: Int32Array): void => void Atomics.and(cell, 0, ~held);
