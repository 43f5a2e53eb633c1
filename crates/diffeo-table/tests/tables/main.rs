//! Files that users and enemies offer as tables. The names of the tests carry the numbers of the fault list.

mod big;
mod binary_files;
mod encodings;
mod files;
mod formats;
mod hostile;
mod images;
mod kinds;
mod limits;
mod numbers;
mod schema;
mod shapes;
mod spellings;
mod writing;
