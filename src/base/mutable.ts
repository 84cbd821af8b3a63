/** An object type whose fields may be written. */
export type Mutable<Type> = { -readonly [Field in keyof Type]: Type[Field] };
