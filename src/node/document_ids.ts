/** Ids as a node makes them, for programs that have to know the id before they send a document. */
export { newDocumentIds } from "../document/new_id.ts";
