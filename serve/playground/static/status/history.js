import { get } from '../service.js';
import { samples } from './exposition.js';
import { modelFigures } from './model-figures.js';

export const POINTS = 60;
// Replicas export every three seconds; over two scrapes at least one export lies.
const WINDOW = 2;

/** What `/metrics` said so far: scrapes, and each model's figures between them. It goes on while the page is open. */
export class History {
  #scrapes = [];
  #figures = new Map();

  /** Asks once more. Throws ServiceError where there is no answer. */
  async scrape() {
    const response = await get('/metrics', { accept: 'text/plain' });
    const scrape = { at: performance.now(), models: samples(await response.text()) };
    const before = this.#scrapes.at(-WINDOW) ?? this.#scrapes.at(0);
    this.#scrapes = [...this.#scrapes.slice(-WINDOW), scrape];
    if (!before) return;
    const seconds = (scrape.at - before.at) / 1000;
    for (const [model, now] of scrape.models) {
      const figures = modelFigures(before.models.get(model) ?? new Map(), now, seconds);
      this.#figures.set(model, [...(this.#figures.get(model) ?? []), figures].slice(-POINTS));
    }
  }

  /** A model's figures, oldest first. */
  of(model) {
    return this.#figures.get(model) ?? [];
  }
}
