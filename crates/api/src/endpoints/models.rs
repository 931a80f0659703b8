//! `/v1/models`

use crate::{ApiError, Service};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
pub(crate) struct List {
    object: &'static str,
    data: [Model; 1],
}

#[derive(Serialize)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// An extension that other servers have, too: tokens of prompt and answer together.
    max_model_len: usize,
}

/// The one model there is.
pub(crate) async fn list(State(service): State<Arc<Service>>) -> Json<List> {
    Json(List { object: "list", data: [model(&service)] })
}

/// The model of this name.
pub(crate) async fn retrieve(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    if id == service.config.model {
        Ok(Json(model(&service)))
    } else {
        Err(ApiError::UnknownModel(id.chars().take(200).collect()))
    }
}

fn model(service: &Service) -> Model {
    Model {
        id: service.config.model.clone(),
        object: "model",
        created: service.started,
        owned_by: "tricorn",
        max_model_len: service.engine.parts().context,
    }
}
