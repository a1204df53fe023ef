/** Tells listeners that something is new; carries one value, queues nothing. */
export interface Signal<Value> {
  /** The latest value. */
  readonly value: Value;
  /** Calls `listener` after every change until the returned function is called. Listeners must not throw. */
  subscribe(listener: (value: Value) => void): () => void;
}

export interface Emitter<Value> extends Signal<Value> {
  emit(value: Value): void;
}

/** A signal that its owner can set. Listeners are called in the order of their subscription, in the same macrotask. */
export function signal<Value>(initial: Value): Emitter<Value> {
  let value = initial;
  const listeners = new Set<(value: Value) => void>();
  return {
    get value() {
      return value;
    },
    subscribe(listener) {
      const own = (next: Value): void => listener(next);
      listeners.add(own);
      return () => void listeners.delete(own);
    },
    emit(next) {
      value = next;
      for (const listener of listeners) listener(next);
    },
  };
}
