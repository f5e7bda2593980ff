/** What Juju does not let an administrator do, or a state that can't be: the simulator refuses it. */
export class Refused extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Refused';
  }
}
