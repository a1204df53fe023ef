/** What the heap orders: by time, then by number. */
export interface HeapEvent {
  readonly at: number;
  readonly number: number;
}

/** A binary heap. */
export class EventHeap<Event extends HeapEvent> {
  readonly #events: Event[] = [];

  get first(): Event | null {
    return this.#events[0] ?? null;
  }

  push(event: Event): void {
    const events = this.#events;
    events.push(event);
    for (let i = events.length - 1; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!before(events[i] as Event, events[parent] as Event)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  pop(): Event | null {
    const events = this.#events, top = events[0], last = events.pop();
    if (top === undefined || last === undefined || events.length === 0) return top ?? null;
    events[0] = last;
    for (let i = 0;;) {
      const left = 2 * i + 1, right = left + 1;
      let least = i;
      if (left < events.length && before(events[left] as Event, events[least] as Event)) least = left;
      if (right < events.length && before(events[right] as Event, events[least] as Event)) least = right;
      if (least === i) return top;
      this.#swap(i, least);
      i = least;
    }
  }

  #swap(a: number, b: number): void {
    const events = this.#events;
    [events[a], events[b]] = [events[b] as Event, events[a] as Event];
  }
}

function before(a: HeapEvent, b: HeapEvent): boolean {
  return a.at < b.at || (a.at === b.at && a.number < b.number);
}
