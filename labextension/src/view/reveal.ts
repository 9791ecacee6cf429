/** What the application around is asked to show: the cell that a run was made from, at a line. */
export const REVEAL_CELL_EVENT = 'aml:reveal-cell';
