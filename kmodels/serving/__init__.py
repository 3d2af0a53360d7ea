"""A trained model behind HTTP: a page to try sentences on, and POST /v1/predict. docs/serving.md describes it."""
