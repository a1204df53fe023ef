/** How many threads may read for queries, of all databases of a node together. */

/** The threads of one database. */
export interface Tenant {
  /** Ends a thread that does nothing; false: there is none. */
  spare(): boolean;
  /** There may be room now. */
  next(): void;
}

export class QueryRoom {
  readonly #max: number;
  readonly #tenants = new Set<Tenant>();
  /** Longest first. */
  readonly #waiting = new Set<Tenant>();
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  enter(tenant: Tenant): void {
    this.#tenants.add(tenant);
  }

  /** It wants nothing any more; what it has it gives back. */
  leave(tenant: Tenant): void {
    this.#tenants.delete(tenant);
    this.#waiting.delete(tenant);
  }

  /** Room for one thread. False: there is none; `next` is called when there may be, at once where another database has a thread to spare. */
  take(tenant: Tenant): boolean {
    if (this.#taken < this.#max) {
      this.#taken++;
      this.#waiting.delete(tenant);
      return true;
    }
    this.#waiting.add(tenant);
    for (const other of this.#tenants) if (other !== tenant && other.spare()) break;
    return false;
  }

  /** A thread of `tenant` has ended. */
  give(): void {
    this.#taken--;
    for (const tenant of [...this.#waiting]) {
      if (this.#taken >= this.#max) return;
      this.#waiting.delete(tenant);
      tenant.next();
    }
  }

  /** Another database waits: a thread of `tenant` that has finished a statement is to end. */
  wanted(tenant: Tenant): boolean {
    return this.#waiting.size > (this.#waiting.has(tenant) ? 1 : 0);
  }
}
