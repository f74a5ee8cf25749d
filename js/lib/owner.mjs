/**
 * Whose messages these are. Several workflows can be open with the same node ids in each, and a
 * message names only the node: the host's queue knows which workflow is being carried out.
 */

/** The workflow that the host carries out now, asked once per queue item. */
export class Owner {
  /** @param {Object} api: with fetchApi(path). */
  constructor(api) {
    this.api = api;
    this.asked = null;
  }

  /** Another queue item begins. */
  forget() {
    this.asked = null;
  }

  /** Return the id of the workflow, or null where the host does not say. */
  workflow() {
    this.asked ??= this.ask();
    return this.asked;
  }

  async ask() {
    try {
      const answer = await (await this.api.fetchApi("/queue")).json();
      // An item is [number, id, prompt, extra data, outputs].
      return answer.queue_running?.[0]?.[3]?.extra_pnginfo?.workflow?.id ?? null;
    } catch {
      return null;
    }
  }
}
